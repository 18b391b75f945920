// The commands of the interaction scripts.

import {
  type ConfChange,
  encodeOlderConfChange,
  formatMessageType,
  formatProgress,
  type Message,
  type MessageType,
  type Snapshot,
} from '../../src/raft/core/index.ts'
import { utf8Encode } from '../../src/base/index.ts'
import {
  type Argument,
  parseBoolean,
  parseChanges,
  parseInteger,
  plainNumbers,
  type ScriptCase,
  ScriptProblem,
  valuesOf,
} from './datadriven.ts'
import { describeEntries, describeMessage, describeRole } from './describe.ts'
import { describeOutcome, Environment, type NodeOptions, type ScriptNode } from './environment.ts'

type Command = (env: Environment, script: ScriptCase) => void

/** Runs the cases of one file on one cluster. */
export function interactionSubject(): (script: ScriptCase) => string {
  const env = new Environment()
  return (script) => {
    const command = commands[script.command]
    try {
      if (command === undefined) throw new ScriptProblem('unknown command')
      command(env, script)
    } catch (problem) {
      if (!(problem instanceof ScriptProblem)) throw problem
      if (env.output.isQuiet) {
        env.output.take()
        return problem.message
      }
      env.output.write(problem.message)
    }
    return env.output.take() || 'ok'
  }
}

const commands: Readonly<Record<string, Command>> = {
  _breakpoint: () => undefined,
  'add-nodes': addNodes,
  campaign: (env, { args }) => firstNode(env, args).raw.campaign(),
  compact,
  'deliver-msgs': deliverMessages,
  'process-ready': (env, { args }) =>
    onEach(env, args, 'handling Ready', (node) => env.runReady(node)),
  'process-append-thread': (env, { args }) =>
    onEach(env, args, 'processing append thread', (node) => env.runAppendThread(node)),
  'process-apply-thread': (env, { args }) =>
    onEach(env, args, 'processing apply thread', (node) => env.runApplyThread(node)),
  'log-level': (env, { args }) => setLevel(env, args[0]?.key ?? ''),
  'raft-log': (env, { args }) => printLog(env, firstNode(env, args)),
  'raft-state': printState,
  'set-randomized-election-timeout': (env, { args }) =>
    firstNode(env, args).raw.setElectionTimeout(onlyNumber(args, 'timeout')),
  stabilize,
  status: (env, { args }) => printStatus(env, firstNode(env, args)),
  'tick-election': (env, { args }) => {
    const node = firstNode(env, args)
    for (let i = 0; i < node.config.electionTicks; i++) node.raw.tick()
  },
  'tick-heartbeat': (env, { args }) => {
    const node = firstNode(env, args)
    for (let i = 0; i < node.config.heartbeatTicks; i++) node.raw.tick()
  },
  'transfer-leadership': (env, { args }) => {
    const to = env.node(onlyNumber(args, 'to')).id
    env.node(onlyNumber(args, 'from')).raw.transferLeader(to)
  },
  'forget-leader': (env, { args }) => firstNode(env, args).raw.forgetLeader(),
  'send-snapshot': sendSnapshot,
  propose: (env, { args }) => {
    const payload = utf8Encode(args[1]?.key ?? '')
    if (args.length !== 2) throw new ScriptProblem('expected exactly one key with no vals')
    report(firstNode(env, args).raw.propose(payload))
  },
  'propose-conf-change': proposeConfChange,
  'report-unreachable': (env, { args }) => {
    const [on, reported, ...rest] = plainNumbers(args)
    if (on === undefined || reported === undefined || rest.length > 0) {
      throw new ScriptProblem(
        'must specify exactly two node indexes: node on which to report, and reported node',
      )
    }
    env.node(on).raw.reportUnreachable(env.node(reported).id)
  },
}

function addNodes(env: Environment, { args }: ScriptCase): void {
  const options = args.slice(1)
  const count = parseInteger(args[0]?.key ?? '')
  const flag = (key: string): boolean => valuesOf(options, key).some(parseBoolean)
  const number = (key: string, otherwise: number): number => {
    const value = valuesOf(options, key).at(-1)
    return value === undefined ? otherwise : parseInteger(value)
  }
  const readOnly = valuesOf(options, 'read-only').at(-1) ?? 'safe'
  if (readOnly !== 'safe' && readOnly !== 'lease-based') {
    throw new ScriptProblem(`invalid read-only option "${readOnly}"`)
  }
  const index = number('index', 0)
  const voters = valuesOf(options, 'voters').map(parseInteger)
  const learners = valuesOf(options, 'learners').map(parseInteger)
  const content = valuesOf(options, 'content').at(-1) ?? ''
  const isBootstrapped = index > 0 || voters.length + learners.length > 0 || content !== ''
  const snapshot: Snapshot = {
    metadata: {
      index,
      term: isBootstrapped ? 1 : 0,
      confState: { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false },
    },
    payload: utf8Encode(content),
  }
  const config: NodeOptions = {
    electionTicks: 3,
    heartbeatTicks: 1,
    applied: index,
    asyncStorageWrites: flag('async-storage-writes'),
    maxSizePerMessage: Number.POSITIVE_INFINITY,
    maxCommittedSizePerReady: number('max-committed-size-per-ready', 0),
    maxUncommittedSize: 0,
    maxInflightMessages: number('inflight', 2 ** 31 - 1),
    maxInflightBytes: 0,
    checkQuorum: flag('checkquorum'),
    preVote: flag('prevote'),
    readOnly,
    disableProposalForwarding: false,
    disableConfChangeValidation: flag('disable-conf-change-validation'),
    stepDownOnRemoval: flag('step-down-on-removal'),
    random: { integer: (limit) => limit - 1 },
  }
  env.addNodes(count, config, snapshot, isBootstrapped)
}

function compact(env: Environment, { args }: ScriptCase): void {
  const node = firstNode(env, args)
  if (node.storage.compact(parseInteger(args[1]?.key ?? '')) === 'compacted') {
    throw new ScriptProblem('requested index is unavailable due to compaction')
  }
  printLog(env, node)
}

function deliverMessages(env: Environment, { args }: ScriptCase): void {
  const recipients = args.flatMap(({ key, values }) => {
    if (values.length === 0) return [{ id: parseInteger(key), isDropped: false }]
    if (key !== 'drop') return []
    return values.map((value) => ({ id: parseInteger(value), isDropped: true }))
  })
  const name = valuesOf(args, 'type').at(-1)
  const type = name === undefined ? undefined : typeOf(name)
  if (env.deliver(type, recipients) === 0) env.output.write('no messages\n')
}

function stabilize(env: Environment, { args }: ScriptCase): void {
  const { level } = env.output
  const name = valuesOf(args, 'log-level').at(-1)
  if (name !== undefined) setLevel(env, name)
  const ids = plainNumbers(args)
  env.stabilize(ids.length === 0 ? env.nodes : ids.map((id) => env.node(id)))
  env.output.level = level
}

function proposeConfChange(env: Environment, { args, input }: ScriptCase): void {
  const node = firstNode(env, args)
  for (const { key, values } of args.slice(1)) {
    if (values.length > 0 && key !== 'v1' && key !== 'transition') {
      throw new ScriptProblem(`unknown command ${key}`)
    }
  }
  const isOlder = valuesOf(args, 'v1').some(parseBoolean)
  const name = valuesOf(args, 'transition').at(-1) ?? 'auto'
  const transition = transitions[name]
  if (transition === undefined) throw new ScriptProblem(`unknown transition ${name}`)
  const changes = parseChanges(input)
  if (!isOlder) {
    report(node.raw.proposeConfChange({ transition, changes, context: new Uint8Array(0) }))
    return
  }
  const [change] = changes
  if (change === undefined || changes.length > 1 || transition !== 'auto') {
    throw new ScriptProblem('v1 conf change can only have one operation and no transition')
  }
  const payload = encodeOlderConfChange(change.kind, change.nodeId)
  const entry = { term: 0, index: 0, kind: 'conf-change', payload } as const
  report(node.raw.step({ ...blank, type: 'propose', from: node.id, entries: [entry] }))
}

const transitions: Readonly<Record<string, ConfChange['transition']>> = {
  auto: 'auto',
  implicit: 'joint-implicit',
  explicit: 'joint-explicit',
}

const blank: Message = {
  type: 'propose',
  to: 0,
  from: 0,
  term: 0,
  logTerm: 0,
  index: 0,
  commit: 0,
  vote: 0,
  entries: [],
  snapshot: undefined,
  isRejected: false,
  rejectHint: 0,
  context: new Uint8Array(0),
  responses: [],
}

function sendSnapshot(env: Environment, { args }: ScriptCase): void {
  const [from, to] = plainNumbers(args).map((id) => env.node(id))
  if (from === undefined || to === undefined) throw new ScriptProblem('expected two nodes')
  const snapshot = from.storage.snapshot()
  if (snapshot === 'unavailable') throw new ScriptProblem('snapshot is temporarily unavailable')
  const { term } = from.raw.status().hardState
  const message: Message = {
    ...blank,
    type: 'snapshot',
    from: from.id,
    to: to.id,
    term,
    snapshot,
  }
  env.enqueue(message)
  env.output.write(describeMessage(message))
}

function printLog(env: Environment, { storage }: ScriptNode): void {
  const first = storage.firstIndex()
  const last = storage.lastIndex()
  if (last < first) {
    env.output.write(`log is empty: first index=${first}, last index=${last}`)
    return
  }
  const entries = storage.entries(first, last + 1, Number.POSITIVE_INFINITY)
  if (typeof entries === 'string') throw new ScriptProblem(`entries are ${entries}`)
  env.output.write(describeEntries(entries))
}

function printState(env: Environment): void {
  for (const { raw } of env.nodes) {
    const { id, softState, hardState, confState } = raw.status()
    const isVoter = confState.voters.includes(id) || confState.votersOutgoing.includes(id)
    env.output.write(
      `${id}: ${describeRole(softState.role)} ${isVoter ? '(Voter)' : '(Non-Voter)'} ` +
        `Term:${hardState.term} Lead:${softState.leader}\n`,
    )
  }
}

function printStatus(env: Environment, { raw }: ScriptNode): void {
  for (const [id, progress] of raw.status().progress) {
    env.output.write(`${id}: ${formatProgress(progress)}\n`)
  }
}

function onEach(
  env: Environment,
  args: readonly Argument[],
  what: string,
  run: (node: ScriptNode) => void,
): void {
  const nodes = plainNumbers(args).map((id) => env.node(id))
  for (const node of nodes) {
    if (nodes.length === 1) {
      run(node)
      continue
    }
    env.output.write(`> ${node.id} ${what}\n`)
    env.output.indented(() => run(node))
  }
}

function setLevel(env: Environment, name: string): void {
  if (env.output.setLevelByName(name)) return
  throw new ScriptProblem('log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]')
}

function report(outcome: 'ok' | 'dropped' | 'peer-not-found'): void {
  if (outcome !== 'ok') throw new ScriptProblem(describeOutcome(outcome))
}

function firstNode(env: Environment, args: readonly Argument[]): ScriptNode {
  return env.node(parseInteger(args[0]?.key ?? ''))
}

function onlyNumber(args: readonly Argument[], key: string): number {
  return parseInteger(valuesOf(args, key).at(-1) ?? '')
}

const messageTypes: readonly MessageType[] = [
  'hup',
  'beat',
  'propose',
  'append',
  'append-response',
  'vote',
  'vote-response',
  'snapshot',
  'heartbeat',
  'heartbeat-response',
  'unreachable',
  'snapshot-status',
  'check-quorum',
  'transfer-leader',
  'timeout-now',
  'read-index',
  'read-index-response',
  'prevote',
  'prevote-response',
  'storage-append',
  'storage-append-response',
  'storage-apply',
  'storage-apply-response',
  'forget-leader',
]

function typeOf(name: string): MessageType {
  const type = messageTypes.find((candidate) => formatMessageType(candidate) === name)
  if (type === undefined) throw new ScriptProblem(`unknown message type ${name}`)
  return type
}
