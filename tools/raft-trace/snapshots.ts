// Snapshots of a trace, written as appends of what the receiver lacks. The specification knows snapshots, but takes
// each for old news wherever anything is committed, because it begins with the first entry, and names its
// answer as no event can. To the logs both are the same: what is committed up to an entry becomes the log's beginning.
//
// The append begins behind what the leader knows to be there, or behind what the receiver has committed when it arrives.

import { assert } from '../../src/base/index.ts'
import type { CoreEvent } from '../../src/raft/core/index.ts'

type Message = NonNullable<CoreEvent['message']>
type Sent = { readonly at: number; readonly match: number }

/** `terms`: of each committed entry, by its index. */
export function withoutSnapshots(
  events: readonly CoreEvent[],
  terms: ReadonlyMap<number, number>,
): readonly CoreEvent[] {
  const written = [...events]
  const matches = new Matches()
  const flying = new Map<string, Sent[]>()
  const write = (at: number, previous: number): void => {
    const event = events[at] as CoreEvent
    const message = event.message as Message
    const logTerm = previous === 0 ? 0 : terms.get(previous)
    assert(logTerm !== undefined, 'what a snapshot holds is committed')
    const entries = message.entries - previous
    const append = { type: 'MsgApp', index: previous, logTerm, entries, commit: message.entries }
    written[at] = { ...event, message: { ...message, ...append } }
  }
  for (const [at, event] of events.entries()) {
    matches.take(event)
    const { message } = event
    if (message?.type !== 'MsgSnap') continue
    const key = `${message.from} ${message.to} ${message.term} ${message.entries}`
    const sent = flying.get(key) ?? []
    flying.set(key, sent)
    if (event.name === 'SendAppendEntriesRequest') {
      const match = matches.of(message.from, message.to)
      sent.push({ at, match })
      write(at, match)
      continue
    }
    const first = sent.shift()
    assert(first !== undefined, 'what arrives was sent')
    const isNews = event.commit < message.entries
    const previous = isNews ? Math.max(first.match, event.commit) : first.match
    write(first.at, previous)
    write(at, previous)
  }
  return written
}

/** What each leader knows of each member, as the specification counts it: a removed member is not forgotten. */
class Matches {
  readonly #known = new Map<number, Map<number, number>>()

  of(leader: number, member: number): number {
    return this.#known.get(leader)?.get(member) ?? 0
  }

  take({ name, id, term, message }: CoreEvent): void {
    if (name === 'BecomeLeader' || name === 'InitState') this.#known.set(id, new Map())
    if (name !== 'ReceiveAppendEntriesResponse' || message?.type !== 'MsgAppResp') return
    if (message.reject || message.term !== term) return
    const known = this.#known.get(id)
    known?.set(message.from, Math.max(message.index, this.of(id, message.from)))
  }
}
