// A client of one namespace, on a node that need not host it: picks a node, asks it, and tries the next when
// that has failed for certain. The node that is asked forwards to the leader where it has to. Whoever answers is
// asked from time to time whom it knows, so that one contact is enough to reach all, also when it is gone later.

import {
  Fault,
  isFault,
  type NodeId,
  nodeId,
  toFault,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { Ask, Commands } from './commands.ts'
import { apiName } from './core/names.ts'
import { type Answer, command, peersMax } from './core/wire.ts'
import type { Directory } from './directory.ts'
import type { Client, ClientCallOptions, ClientOptions, KnownPeer, Member } from './mesh.ts'
import { Closing, timeoutMsDefault, timeoutOf } from './timeouts.ts'

export type ClientEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly directory: Directory
  readonly commands: Commands
  readonly self: NodeId
  readonly isHosted: () => boolean
}

const pauseMs = 50
/** Between two questions whom others know. */
const acquaintEveryMs = 10_000
const acquaintSoonMs = 500
export const keysMax = 100_000
/** What another node, or the same one a moment later, may well answer. */
const passing: ReadonlySet<string> = new Set([
  'not-found',
  'unavailable',
  'not-leader',
  'overloaded',
  'conflict',
])

/** Without an answer nothing was changed. */
const reads: ReadonlySet<number> = new Set([
  command.get,
  command.keys,
  command.exchange,
  command.members,
])

type Call = Omit<Ask, 'api' | 'timeoutMs'>

export function createClient(ends: ClientEnds, namespace: string, options: ClientOptions): Client {
  return new MeshClient(ends, namespace, options)
}

class MeshClient implements Client {
  readonly namespace: string
  readonly #ends: ClientEnds
  readonly #timeoutMs: number
  readonly #closing = new Closing()
  /** Who answered last. */
  #favourite: NodeId | undefined
  #acquaintedMs = Number.NEGATIVE_INFINITY

  constructor(ends: ClientEnds, namespace: string, options: ClientOptions) {
    this.namespace = namespace
    this.#ends = ends
    this.#timeoutMs = timeoutOf({ timeoutMs: options.timeoutMs ?? timeoutMsDefault })
  }

  async set(key: string, value: Uint8Array, options?: ClientCallOptions): Promise<void> {
    await this.#ask({ command: command.set, key: utf8Encode(key), value }, options)
  }

  async get(
    key: string,
    options?: ClientCallOptions & { readonly barrierMs?: number },
  ): Promise<Uint8Array | undefined> {
    const call = {
      command: command.get,
      key: utf8Encode(key),
      barrierMs: Math.ceil(options?.barrierMs ?? 0),
    }
    const { isFound, value } = await this.#ask(call, options)
    return isFound ? value : undefined
  }

  async delete(key: string, options?: ClientCallOptions): Promise<boolean> {
    return (await this.#ask({ command: command.delete, key: utf8Encode(key) }, options)).isFound
  }

  async keys(
    options?: ClientCallOptions & { readonly prefix?: string; readonly barrierMs?: number },
  ): Promise<readonly string[]> {
    const key = utf8Encode(options?.prefix ?? '')
    const barrierMs = Math.ceil(options?.barrierMs ?? 0)
    const all: string[] = []
    for (;;) {
      const value = utf8Encode(all.at(-1) ?? '')
      const page = await this.#ask({ command: command.keys, key, value, barrierMs }, options)
      for (const one of page.keys) all.push(utf8Decode(one))
      if (!page.hasMore || page.keys.length === 0) return all
      if (all.length >= keysMax) throw new Fault('too-large', `more than ${keysMax} keys`)
    }
  }

  async apply(payload: Uint8Array, options?: ClientCallOptions): Promise<Uint8Array> {
    return (await this.#ask({ command: command.apply, value: payload }, options)).value
  }

  async joinVoter(node: NodeId, options?: ClientCallOptions): Promise<'learner' | 'voter'> {
    const address = this.#ends.directory.addressOf(node) ?? ''
    const join = { node, isTakenIn: true, wantsVote: true, address }
    const { isVoter } = await this.#ask({ command: command.join, join }, options)
    return isVoter ? 'voter' : 'learner'
  }

  async exchangePeers(options?: ClientCallOptions): Promise<readonly KnownPeer[]> {
    const { directory } = this.#ends
    const call = { command: command.exchange, peers: directory.known().slice(0, peersMax) }
    const { peers } = await this.#ask(call, options)
    directory.hear(peers)
    return peers
  }

  async members(options?: ClientCallOptions): Promise<readonly Member[]> {
    const { members } = await this.#ask({ command: command.members }, options)
    const { rpc, self } = this.#ends
    return members.map(({ node, isVoter, isLeader, address }) => ({
      node,
      isVoter,
      isLeader,
      address: address === '' ? undefined : address,
      isReachable: node === self || rpc.isReachable(node),
    }))
  }

  close(): void {
    this.#closing.close()
  }

  async #ask(call: Call, options: ClientCallOptions | undefined): Promise<Answer> {
    const { clock } = this.#ends.host
    const endMs = clock.monotonicMs() + timeoutOf({ timeoutMs: this.#timeoutMs, ...options })
    let last: Fault | undefined
    for (let attempt = 0; ; attempt++) {
      this.#mustBeOpen()
      const leftMs = Math.floor(endMs - clock.monotonicMs())
      if (leftMs <= 0) throw late(this.namespace, last)
      const target = options?.to ?? this.#target(attempt)
      if (target !== undefined) {
        try {
          const answer = await this.#askOne(target, call, leftMs)
          this.#favourite = this.#nextTarget(answer, target)
          this.#acquaint(target, acquaintEveryMs)
          return answer
        } catch (error) {
          last = toFault(error)
          if (last.outcome === 'unknown' || !passing.has(last.code)) throw last
          if (this.#favourite === target) this.#favourite = undefined
          if (options?.to !== undefined) this.#acquaint(this.#target(attempt), acquaintSoonMs)
        }
      }
      await clock.sleep(Math.min(pauseMs, Math.max(1, leftMs)))
    }
  }

  /** Whoever passed a write on said to whom: the next goes there at once. */
  #nextTarget({ leader }: Answer, target: NodeId): NodeId {
    if (leader === 0) return target
    const next = nodeId(leader)
    return this.#ends.rpc.isReachable(next) ? next : target
  }

  async #askOne(target: NodeId, call: Call, leftMs: number): Promise<Answer> {
    const ask = { ...call, api: apiName(this.namespace), timeoutMs: leftMs }
    try {
      return await this.#ends.commands.ask(target, ask, this.#closing)
    } catch (error) {
      if (!isFault(error) || !reads.has(call.command)) throw error
      const { code, message, fields } = error
      throw new Fault(code, message, { fields, cause: error })
    }
  }

  /** Asks a node whom it knows, unless that was asked less than so long ago. */
  #acquaint(node: NodeId | undefined, everyMs: number): void {
    const { host, directory, commands, self } = this.#ends
    const nowMs = host.clock.monotonicMs()
    if (node === undefined || node === self || nowMs < this.#acquaintedMs + everyMs) return
    this.#acquaintedMs = nowMs
    const ask = {
      api: apiName(this.namespace),
      command: command.exchange,
      peers: directory.known().slice(0, peersMax),
      timeoutMs: acquaintSoonMs,
    }
    commands.ask(node, ask, this.#closing).then(
      ({ peers }) => directory.hear(peers),
      (error: unknown) => {
        if (!isFault(error)) host.journal.fatal('mesh.acquaintance_failed', error)
      },
    )
  }

  /** The one that answered last, this node if it hosts the namespace, then all that are connected in turn. */
  #target(attempt: number): NodeId | undefined {
    const { isHosted, self, directory, rpc } = this.#ends
    if (this.#favourite !== undefined) return this.#favourite
    const reachable = directory.known().filter(({ node }) => rpc.isReachable(node))
    const all = [...(isHosted() ? [self] : []), ...reachable.map(({ node }) => node)]
    return all[attempt % Math.max(1, all.length)]
  }

  #mustBeOpen(): void {
    if (this.#closing.isClosed) throw new Fault('cancelled', 'the client was closed')
  }
}

function late(namespace: string, last: Fault | undefined): Fault {
  const why = last === undefined ? 'no node that hosts it is connected' : last.message
  return new Fault('deadline', `${namespace} gave no answer in time: ${why}`, {
    next: 'see that a node that hosts it runs and can be reached from here (status().peers)',
    cause: last,
  })
}
