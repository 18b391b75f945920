// The model checker over one trace: the specification lies in a folder of its own for the time of it, beside the trace and,
// where no jar brings them, the community modules (modules.ts).
//
// What the specification asks the checker about itself is left out, because not every build of it answers: its mode, and the
// length of its queue, by which the property TraceMatched knows that the trace is matched to its end. That is read from
// what the specification prints at the last event.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { communityModules } from './modules.ts'

export type TlcOptions = {
  /** Of tla2tools and, as one wishes, of the community modules. */
  readonly jars: readonly string[]
  /** The folder tla of etcd-io/raft. */
  readonly spec: string
}

/** `output` is what the model checker printed. */
export type TlcVerdict = { readonly isAccepted: boolean; readonly output: string }

/** Accepted: the checker found no error, and got to the end of the trace. */
export function checkWithTlc(trace: string, { jars, spec }: TlcOptions): TlcVerdict {
  const place = mkdtempSync(join(tmpdir(), 'raft-trace-'))
  try {
    for (const name of readdirSync(spec)) {
      if (!/\.(tla|cfg)$/.test(name)) continue
      const text = readFileSync(join(spec, name), 'utf8')
      writeFileSync(join(place, name), withoutQuestions(text))
    }
    const file = join(place, 'trace.ndjson')
    writeFileSync(file, trace)
    if (!jars.some(hasCommunityModules)) {
      for (const [name, text] of communityModules(trace)) writeFileSync(join(place, name), text)
    }
    const classpath = jars.map((jar) => resolve(jar)).join(':')
    const machine = ['-Xss64m', '-Xmx1g', '-XX:+UseSerialGC', '-cp', classpath, 'tlc2.TLC']
    const model = ['-workers', '1', '-lncheck', 'final', '-metadir', join(place, 'states')]
    const args = [...machine, ...model, '-config', 'Traceetcdraft.cfg', 'Traceetcdraft.tla']
    const env = { ...process.env, JSON: file }
    const { status, stdout, stderr, error } = spawnSync('java', args, {
      cwd: place,
      env,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    })
    if (error !== undefined) {
      return { isAccepted: false, output: `java cannot be run: ${error.message}` }
    }
    return { isAccepted: status === 0 && reachesEnd(stdout), output: `${stdout}${stderr}` }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

/** Names of files are readable in a jar. */
function hasCommunityModules(jar: string): boolean {
  return readFileSync(jar).includes('IOUtils.tla')
}

function withoutQuestions(text: string): string {
  return text
    .replace(/^ASSUME TLCGet\(.*$/gm, '')
    .replace(/^PROPERTIES\s+TraceMatched\s*$/m, '')
    .replace('TLCGet("queue") = 1', 'FALSE')
}

/** A checker that stops early and finds no error accepts nothing. */
function reachesEnd(output: string): boolean {
  return output.includes('<<"Progress %:", 100>>') && output.includes('No error has been found')
}
