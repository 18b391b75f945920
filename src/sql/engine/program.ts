// The program of an engine's process: a writer over a database's file, or a reader. One request after the other; each is
// answered, with the Fault that it failed with if need be. What breaks an invariant ends the process.

import type { DatabaseSync } from 'node:sqlite'
import type { DurationClock, Port } from '../../host/index.ts'
import { Fault, isFault, utf8Decode } from '../../base/index.ts'
import {
  type EngineInput,
  encodeFailure,
  encodeReply,
  type EngineReply,
  rawActCodec,
  statementsOf,
} from '../core/engine-wire.ts'
import { damageOf } from './connection.ts'
import { SqlEngine } from './engine.ts'
import { SqlReader } from './reader.ts'

type RawAct = ReturnType<typeof rawActCodec.decode>

/** Functions of a program of one's own, on top of SQLite's; replicas whose functions differ end apart. */
export type MoreFunctions = (database: DatabaseSync) => void

/** Rejects with what makes the file unusable. */
export async function runEngine(
  port: Port,
  input: Uint8Array,
  clock: DurationClock,
  more: MoreFunctions = () => undefined,
): Promise<void> {
  const { path, isReader } = JSON.parse(utf8Decode(input)) as EngineInput
  const nowUs = (): number => clock.monotonicMs() * 1000
  const act = actsOf({ path, isReader }, { nowUs, more })
  let last: Promise<void> = Promise.resolve()
  await new Promise<void>((_, reject) => {
    port.onMessage = (message) => {
      const raw = rawActCodec.decode(message)
      last = last.then(() => answer(port, raw, act)).catch(reject)
    }
  })
}

async function answer(
  port: Port,
  raw: RawAct,
  act: (raw: RawAct) => EngineReply | Promise<EngineReply>,
): Promise<void> {
  try {
    port.send(encodeReply(raw.number, await act(raw)))
  } catch (error) {
    if (!isFault(error)) throw error
    port.send(encodeFailure(raw.number, error))
  }
}

const empty: EngineReply = {
  engine: '',
  applied: 0,
  digest: new Uint8Array(0),
  entries: [],
  results: [],
  digestAt: new Uint8Array(0),
  isPure: false,
}

type Surroundings = { readonly nowUs: () => number; readonly more: MoreFunctions }
type Act = (raw: RawAct) => EngineReply | Promise<EngineReply>

/** A file that is damaged, or none of SQLite's, is said to whoever asks. */
function actsOf({ path, isReader }: EngineInput, { nowUs, more }: Surroundings): Act {
  try {
    return isReader ? actsOfReader(path, nowUs) : actsOfWriter(path, { nowUs, more })
  } catch (error) {
    const fault = damageOf(error)
    if (fault === undefined) throw error
    return () => {
      throw fault
    }
  }
}

function actsOfReader(path: string, nowUs: () => number) {
  const reader = new SqlReader(path, nowUs)
  return (raw: RawAct): EngineReply => {
    if (raw.kind !== 'query') throw new Fault('internal', `a reader is asked to ${raw.kind}`)
    return { ...empty, results: reader.query(statementsOf(raw)) }
  }
}

function actsOfWriter(path: string, { nowUs, more }: Surroundings) {
  const engine = new SqlEngine(path, nowUs)
  engine.extend(more)
  const stand = (): EngineReply => {
    return { ...empty, engine: engine.name, applied: engine.applied, digest: engine.digest }
  }
  return (raw: RawAct): EngineReply | Promise<EngineReply> => {
    if (raw.kind === 'run') {
      const [payload = new Uint8Array(0)] = raw.payloads
      return { ...stand(), entries: [engine.run(payload)] }
    }
    if (raw.kind === 'apply') {
      const indexed = raw.payloads.map((payload, at) => ({ index: raw.indexes[at] ?? 0, payload }))
      const entries = engine.apply(indexed)
      return { ...stand(), entries: raw.wantsAnswers ? entries : [] }
    }
    if (raw.kind === 'digest') {
      return { ...stand(), digestAt: engine.digestAt(raw.index) ?? empty.digestAt }
    }
    if (raw.kind === 'step') {
      const [statement] = statementsOf(raw)
      if (statement === undefined) throw new Fault('internal', 'a step without a statement')
      const { result, isPure } = engine.step(statement)
      return { ...stand(), results: [result], isPure }
    }
    if (raw.kind === 'commit') {
      const instead = engine.commit(raw.index)
      return { ...stand(), entries: instead === undefined ? [] : [instead] }
    }
    if (raw.kind === 'copy') return engine.copyTo(raw.path).then(stand)
    if (raw.kind === 'hold') engine.hold(raw.payloads[0] ?? new Uint8Array(0))
    else if (raw.kind === 'rollback') engine.rollback()
    else if (raw.kind === 'checkpoint') engine.checkpoint()
    else if (raw.kind !== 'open') throw new Fault('internal', `an engine is asked to ${raw.kind}`)
    return stand()
  }
}
