// npm run raft:trace -- [--seed N] [--events N] [--out FILE] [--check FILE] [--tlc JAR[:JAR] --spec DIR]
//
// Plays the core from a seed and writes what happened in the form that etcd's TLA+ trace specification reads, then
// checks the specification's invariants over it (raft-trace/invariants.ts). With --tlc and --spec, the model
// checker checks the trace as well: JAR is tla2tools.jar with the community modules, DIR the folder tla of
// etcd-io/raft. --check FILE checks a trace that is there already, also one of etcd's own.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { formatTrace, parseTrace } from './raft-trace/format.ts'
import { checkTrace } from './raft-trace/invariants.ts'
import { playTrace } from './raft-trace/play.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    events: { type: 'string', default: '1500' },
    out: { type: 'string' },
    check: { type: 'string' },
    tlc: { type: 'string' },
    spec: { type: 'string' },
  },
})

function main(): number {
  const text =
    values.check === undefined
      ? formatTrace(playTrace({ seed: Number(values.seed), events: Number(values.events) }))
      : readFileSync(values.check, 'utf8')
  if (values.out !== undefined) writeFileSync(values.out, text)
  else if (values.check === undefined && values.tlc === undefined) process.stdout.write(text)
  const events = parseTrace(text)
  const problem = checkTrace(events)
  if (problem !== undefined) {
    console.error(`event ${problem.line} of ${events.length}: ${problem.what}`)
    return 1
  }
  console.error(`${events.length} events: every invariant holds`)
  return values.tlc === undefined ? 0 : checkWithTlc(text)
}

/** The model checker's own exit status; its output goes on. */
function checkWithTlc(text: string): number {
  if (values.spec === undefined || values.tlc === undefined) {
    console.error('--tlc needs --spec, the folder of Traceetcdraft.tla')
    return 2
  }
  const directory = mkdtempSync(join(tmpdir(), 'raft-trace-'))
  try {
    const trace = join(directory, 'trace.ndjson')
    writeFileSync(trace, text)
    const classpath = values.tlc
      .split(':')
      .map((jar) => resolve(jar))
      .join(':')
    const args = ['-XX:+UseParallelGC', '-cp', classpath, 'tlc2.TLC', '-workers', '1', '-lncheck']
    const model = ['final', '-metadir', directory, '-config', 'Traceetcdraft.cfg']
    const { status } = spawnSync('java', [...args, ...model, 'Traceetcdraft.tla'], {
      cwd: resolve(values.spec),
      env: { ...process.env, JSON: trace },
      stdio: 'inherit',
    })
    return status ?? 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

process.exitCode = main()
