// The invariants of etcd's TLA+ specification over a trace: the logs are built again from what the trace says, as the
// model checker would, and after every event all of LogInv, MoreThanOneLeader, ElectionSafety, LogMatching,
// QuorumLog, MoreUpToDateCorrect, LeaderCompleteness and CommittedIsDurable must hold (Raft figure 3).
//
// A trace names sizes and not contents. So an append's entries are those of the sender's log at the moment of sending;
// they are found again by all fields of the message. Every proposal is a value of its own.

import type { TraceEvent } from './format.ts'

type Entry = { readonly term: number; readonly value: number }
type Server = {
  log: Entry[]
  term: number
  commit: number
  role: string
  durable: number
  conf: TraceEvent['conf']
  /** As of its last Ready: what a crash leaves. */
  saved: Saved
}
type Saved = Pick<Server, 'log' | 'term' | 'commit' | 'conf'> & { readonly vote: string }

/** What is wrong with a trace: the event's number from 1, and why. */
export type TraceProblem = { readonly line: number; readonly what: string }

/** Undefined: every invariant holds all along, and every size in the trace is that of the log built again. */
export function checkTrace(events: readonly TraceEvent[]): TraceProblem | undefined {
  const booting = bootEvents(events)
  const replay = new Replay()
  for (const at of booting) replay.boot(events[at] as TraceEvent)
  for (const [at, event] of events.entries()) {
    if (booting.has(at)) continue
    const what = replay.take(event)
    if (what !== undefined) return { line: at + 1, what: `${event.name} at ${event.nid}: ${what}` }
  }
  return undefined
}

const bootNames: readonly string[] = ['InitState', 'BecomeFollower', 'ApplyConfChange']

/** Positions of what each server told before it did anything: its last one is the state in which it begins. */
function bootEvents(events: readonly TraceEvent[]): ReadonlySet<number> {
  const running = new Set<string>()
  const booting = new Set<number>()
  for (const [at, { name, nid }] of events.entries()) {
    if (!bootNames.includes(name)) running.add(nid)
    else if (!running.has(nid)) booting.add(at)
  }
  return booting
}

class Replay {
  readonly #servers = new Map<string, Server>()
  readonly #sent = new Map<string, Entry[]>()
  readonly #leaders = new Map<number, string>()
  /** By index: committed by anyone, ever. */
  readonly #committed: Entry[] = []
  #nextValue = 1

  take(event: TraceEvent): string | undefined {
    const server = this.#servers.get(event.nid)
    if (server === undefined) return 'it did not begin'
    if (event.name === 'InitState') return this.#restart(server, event)
    const isBefore = event.name.startsWith('Receive') || event.name === 'Replicate'
    const isSized = isBefore || event.name.startsWith('Send') || event.name === 'Ready'
    if (isSized && server.log.length !== event.log) {
      return `the log has ${event.log} entries, built again it has ${server.log.length}`
    }
    this.#move(server, event)
    server.term = event.state.term
    server.role = event.role
    server.conf = event.conf
    if (event.state.commit < server.commit) return `commit goes back to ${event.state.commit}`
    if (event.state.commit > server.log.length) return 'what is committed is not in the log'
    server.commit = event.state.commit
    return this.#violation(event.nid, server)
  }

  boot({ nid, log, conf, state, role, name, prop }: TraceEvent): void {
    const entries = Array.from({ length: log }, () => ({ term: 1, value: 0 }))
    const { term, commit } = state
    const isNew = name === 'ApplyConfChange'
    const now = isNew ? ([prop?.cc?.newconf ?? [], []] as const) : conf
    const saved = { log: entries, term, vote: state.vote, commit, conf: now }
    this.#servers.set(nid, { log: entries, term, commit, role, durable: log, conf: now, saved })
  }

  /** After a crash it is where its last Ready left it, and follows. */
  #restart(server: Server, { nid, state, role, log, conf }: TraceEvent): string | undefined {
    const { saved } = server
    const isSaved =
      state.term === saved.term && state.vote === saved.vote && state.commit === saved.commit
    if (!isSaved || log !== saved.log.length)
      return 'it does not begin where its last Ready left it'
    if (JSON.stringify(sorted(conf)) !== JSON.stringify(sorted(saved.conf))) {
      return 'it begins with another configuration than that of its last Ready'
    }
    if (role !== 'StateFollower') return 'it does not begin as a follower'
    Object.assign(server, { log: [...saved.log], term: saved.term, commit: saved.commit, role })
    server.durable = log
    server.conf = conf
    return this.#violation(nid, server)
  }

  #move(server: Server, event: TraceEvent): void {
    const { msg, name } = event
    if (name === 'Replicate' || name === 'ChangeConf') {
      server.log.push({ term: event.state.term, value: this.#nextValue++ })
    } else if (name === 'Ready') {
      const { term, vote, commit } = event.state
      server.durable = server.log.length
      server.saved = { log: [...server.log], term, vote, commit, conf: event.conf }
    } else if (name === 'SendAppendEntriesRequest' && msg !== undefined) {
      const from = msg.type === 'MsgSnap' ? 0 : msg.index
      if (msg.type !== 'MsgHeartbeat') {
        this.#sent.set(keyOf(msg), server.log.slice(from, from + msg.entries))
      }
    } else if (name === 'ReceiveAppendEntriesRequest' && msg !== undefined) {
      if (msg.term >= event.state.term) this.#receive(server, event, msg)
    }
  }

  #receive(server: Server, event: TraceEvent, msg: NonNullable<TraceEvent['msg']>): void {
    const entries = this.#sent.get(keyOf(msg))
    if (entries === undefined) return
    const { log } = server
    if (msg.type === 'MsgSnap') {
      if (msg.entries <= event.state.commit) return
      if (log[msg.entries - 1]?.term === entries.at(-1)?.term) return
      server.log = [...entries]
      return
    }
    if (msg.index < event.state.commit) return
    if (msg.index > 0 && log[msg.index - 1]?.term !== msg.logTerm) return
    const conflict = entries.findIndex((entry, at) => log[msg.index + at]?.term !== entry.term)
    if (conflict < 0) return
    server.log = [...log.slice(0, msg.index + conflict), ...entries.slice(conflict)]
    server.durable = Math.min(server.durable, msg.index + conflict)
  }

  #violation(id: string, server: Server): string | undefined {
    for (let at = 0; at < server.commit; at++) {
      const entry = server.log[at] as Entry
      const known = this.#committed[at]
      if (known !== undefined && !isSame(known, entry)) {
        return `LogInv: entry ${at + 1} was committed as something else`
      }
      this.#committed[at] ??= entry
    }
    return this.#leadership(id, server) ?? this.#pairs(id, server) ?? this.#quorums()
  }

  #leadership(id: string, server: Server): string | undefined {
    if (server.role !== 'StateLeader') return undefined
    const other = this.#leaders.get(server.term)
    if (other !== undefined && other !== id) {
      return `MoreThanOneLeader: ${other} led term ${server.term} already`
    }
    this.#leaders.set(server.term, id)
    if (server.commit > server.durable) return 'CommittedIsDurable: more is committed than synced'
    const own = lastOfTerm(server.log, server.term)
    for (const [peer, { log }] of this.#servers) {
      if (lastOfTerm(log, server.term) > own) return `ElectionSafety: ${peer} has more of the term`
    }
    for (const [at, entry] of this.#committed.entries()) {
      const isOlder = entry.term < server.term
      if (isOlder && !isSame(server.log[at], entry)) return `LeaderCompleteness: lacks ${at + 1}`
    }
    return undefined
  }

  #pairs(id: string, server: Server): string | undefined {
    for (const [peer, other] of this.#servers) {
      if (peer === id) continue
      const both = Math.min(server.log.length, other.log.length)
      let isAlike = true
      for (let at = 0; at < both; at++) {
        const [ours, theirs] = [server.log[at] as Entry, other.log[at] as Entry]
        if (ours.term === theirs.term && (!isAlike || !isSame(ours, theirs))) {
          return `LogMatching: entry ${at + 1} of ${peer}`
        }
        isAlike &&= isSame(ours, theirs)
      }
      for (const [upToDate, behind] of [
        [server, other],
        [other, server],
      ] as const) {
        if (!isUpToDate(upToDate.log, behind.log)) continue
        if (!holds(upToDate.log, behind.log, behind.commit)) return `MoreUpToDateCorrect: ${peer}`
      }
    }
    return undefined
  }

  /**
   * In every quorum of a leader's configuration somebody holds all that it knows as committed. Of leaders only: who catches
   * up goes through configurations of long ago, which a trace shows and the specification does not.
   */
  #quorums(): string | undefined {
    for (const [id, { log, commit, conf, role }] of this.#servers) {
      if (role !== 'StateLeader') continue
      for (const voters of conf) {
        const without = voters.filter((voter) => {
          const peer = this.#servers.get(voter)
          return peer === undefined || !holds(peer.log, log, commit)
        })
        if (voters.length > 0 && without.length > voters.length / 2) {
          return `QuorumLog: ${without} lack what ${id} has committed`
        }
      }
    }
    return undefined
  }
}

function keyOf({ commit: _, ...msg }: NonNullable<TraceEvent['msg']>): string {
  return JSON.stringify(msg)
}

function sorted(conf: TraceEvent['conf']): readonly (readonly string[])[] {
  return conf.map((ids) => [...ids].sort())
}

function isSame(a: Entry | undefined, b: Entry): boolean {
  return a?.term === b.term && a.value === b.value
}

function lastOfTerm(log: readonly Entry[], term: number): number {
  return log.findLastIndex((entry) => entry.term === term) + 1
}

function isUpToDate(log: readonly Entry[], other: readonly Entry[]): boolean {
  const [ours, theirs] = [log.at(-1)?.term ?? 0, other.at(-1)?.term ?? 0]
  return ours > theirs || (ours === theirs && log.length >= other.length)
}

function holds(log: readonly Entry[], other: readonly Entry[], count: number): boolean {
  for (let at = 0; at < count; at++) if (!isSame(log[at], other[at] as Entry)) return false
  return true
}
