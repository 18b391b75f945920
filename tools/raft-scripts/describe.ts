// Messages, entries and Readys in the notation of the published scripts.

import {
  type ConfState,
  type CoreRole,
  decodeConfChange,
  type Entry,
  formatMessageType,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  none,
  type Ready,
  type Snapshot,
} from '../../src/raft/core/index.ts'
import { utf8Decode } from '../../src/base/index.ts'

const roleNames: Readonly<Record<CoreRole, string>> = {
  follower: 'StateFollower',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
  precandidate: 'StatePreCandidate',
}

const entryNames: Readonly<Record<Entry['kind'], string>> = {
  normal: 'EntryNormal',
  'conf-change': 'EntryConfChange',
  'conf-change-v2': 'EntryConfChangeV2',
}

const changeLetters = { 'add-voter': 'v', 'add-learner': 'l', remove: 'r', update: 'u' } as const

export function describeRole(role: CoreRole): string {
  return roleNames[role]
}

/** Ends in a newline unless nothing is ready. */
export function describeReady(ready: Ready): string {
  let text = ''
  if (ready.softState !== undefined) {
    text += `Lead:${ready.softState.leader} State:${roleNames[ready.softState.role]}\n`
  }
  if (ready.hardState !== undefined) text += `HardState ${describeHardState(ready.hardState)}\n`
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map(({ index, context }) => `{${index} [${context.join(' ')}]}`)
    text += `ReadStates [${states.join(' ')}]\n`
  }
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries)}`
  if (ready.snapshot !== undefined) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`
  if (ready.committedEntries.length > 0) {
    text += `CommittedEntries:\n${describeEntries(ready.committedEntries)}`
  }
  if (ready.messages.length > 0) {
    text += `Messages:\n${ready.messages.map((m) => `${describeMessage(m)}\n`).join('')}`
  }
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`
}

export function describeMessage(m: Message, indent = ''): string {
  let text =
    `${indent}${describeTarget(m.from)}->${describeTarget(m.to)} ${formatMessageType(m.type)} ` +
    `Term:${m.term} Log:${m.logTerm}/${m.index}`
  if (m.isRejected) text += ` Rejected (Hint: ${m.rejectHint})`
  if (m.commit !== 0) text += ` Commit:${m.commit}`
  if (m.vote !== 0) text += ` Vote:${m.vote}`
  const [first] = m.entries
  if (first !== undefined && m.entries.length === 1) text += ` Entries:[${describeEntry(first)}]`
  if (m.entries.length > 1) {
    const lines = m.entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`)
    text += ` Entries:[${lines.join('')}\n${indent}]`
  }
  if (m.snapshot !== undefined && m.snapshot.metadata.index > 0) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(m.snapshot)}`
  }
  if (m.responses.length > 0) {
    const lines = m.responses.map((response) => `\n${describeMessage(response, `${indent}  `)}`)
    text += ` Responses:[${lines.join('')}\n${indent}]`
  }
  return text
}

export function describeEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${describeEntry(entry)}\n`).join('')
}

function describeEntry(entry: Entry): string {
  const content = entry.kind === 'normal' ? quote(entry.payload) : describeChange(entry)
  const suffix = content === '' ? '' : ` ${content}`
  return `${entry.term}/${entry.index} ${entryNames[entry.kind]}${suffix}`
}

function describeChange(entry: Entry): string {
  const change = decodeConfChange(entry)
  if (change === undefined) return 'malformed'
  return change.changes.map(({ kind, nodeId }) => `${changeLetters[kind]}${nodeId}`).join(' ')
}

function describeHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0 ? '' : ` Vote:${vote}`} Commit:${commit}`
}

function describeSnapshot({ metadata }: Snapshot): string {
  return `Index:${metadata.index} Term:${metadata.term} ConfState:${describeConfState(metadata.confState)}`
}

function describeConfState(state: ConfState): string {
  const list = (ids: readonly number[]): string => `[${ids.join(' ')}]`
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} ` +
    `Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)} ` +
    `AutoLeave:${state.autoLeave}`
  )
}

function describeTarget(id: number): string {
  if (id === none) return 'None'
  if (id === localAppendThread) return 'AppendThread'
  if (id === localApplyThread) return 'ApplyThread'
  return id.toString(16)
}

/** A quoted string as Go's %q prints it. */
function quote(bytes: Uint8Array): string {
  const escapes: Readonly<Record<string, string>> = {
    '"': '\\"',
    '\\': '\\\\',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
  }
  let text = ''
  for (const char of utf8Decode(bytes)) {
    const code = char.charCodeAt(0)
    const isControl = code < 0x20 || code === 0x7f
    text += escapes[char] ?? (isControl ? `\\x${code.toString(16).padStart(2, '0')}` : char)
  }
  return `"${text}"`
}
