// The command API of the namespaces that are open here: serves other nodes' requests and asks other nodes. What only
// the leader can do is passed on to it, once; a request that was passed on is answered or refused.

import {
  decodeOutcome,
  decodeParts,
  encodeOutcome,
  encodeOutcomes,
  encodeParts,
  Fault,
  isFault,
  type NodeId,
  toFault,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import {
  controlMethod,
  Gatherer,
  type IncomingCall,
  type Rpc,
  type SendParts,
} from '../rpc/index.ts'
import { namespaceOfApi } from './core/names.ts'
import { encodeSet, type KeySet, readSets } from './core/sets.ts'
import {
  type Answer,
  command,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  type JoinRequest,
  peersMax,
  type Request,
  type WireMember,
} from './core/wire.ts'
import type { Directory } from './directory.ts'
import { type Closing, within } from './timeouts.ts'

/** What an open namespace answers commands with. */
export type Served = {
  /** Faults 'unavailable' before this node is a member. */
  leader(): NodeId | undefined
  wireMembers(): readonly WireMember[]
  isLeader(): boolean
  admit(request: JoinRequest): Promise<boolean>
  propose(payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>
  write(key: string, value: Uint8Array | undefined, timeoutMs: number): Promise<boolean>
  /** Sets keys that came together; the fault of each that failed. */
  setAll(sets: readonly KeySet[], timeoutMs: number): Promise<readonly (Fault | undefined)[]>
  read(key: string, barrierMs: number): Promise<Uint8Array | undefined>
  /** A page of keys that begin with `prefix`, after `after`. */
  list(
    prefix: string,
    page: { readonly after: string; readonly barrierMs: number },
  ): Promise<{ readonly keys: readonly string[]; readonly hasMore: boolean }>
}

export type CommandEnds = {
  readonly self: NodeId
  readonly host: Host
  readonly rpc: Rpc
  readonly directory: Directory
  readonly find: (namespace: string) => Served | undefined
}

/** Of requests that name no timeout, or too long a one. */
const timeoutMsMax = 600_000
/** Of writes that share a call; a longer one has a call of its own. */
const callBytesWanted = 512 * 1024
/** Who waits longer has a call of its own. */
const sharedMsMax = 60_000

const noBytes = new Uint8Array(0)

export type Ask = Pick<Request, 'api' | 'command' | 'timeoutMs'> & Partial<Request>

export class Commands {
  readonly #ends: CommandEnds
  readonly #writes = new Map<NodeId, Gatherer>()
  #lastApi: { readonly name: string; readonly bytes: Uint8Array } = { name: '', bytes: noBytes }

  constructor(ends: CommandEnds) {
    this.#ends = ends
    ends.rpc.serve(controlMethod.meshCommand, (call) => this.#serve(call.request, call.deadlineMs))
    ends.rpc.serve(controlMethod.meshCommands, (call) => this.#serveAll(call))
  }

  /** Asks a node, or this one. Faults of the command; 'unavailable' when the node is not connected. */
  async ask(to: NodeId, request: Ask, closing?: Closing): Promise<Answer> {
    const { self, rpc } = this.#ends
    const frame = this.#encode(request)
    if (to === self) return decodeAnswer(await this.#answer(decodeRequest(frame)))
    if (isShared(request))
      return decodeAnswer(await this.#gather(to, { frame, ms: request.timeoutMs }, closing))
    const deadlineMs = request.timeoutMs
    const options = closing === undefined ? { deadlineMs } : { deadlineMs, signal: closing.signal }
    return decodeAnswer(await rpc.call(to, controlMethod.meshCommand, frame, options))
  }

  #encode(request: Ask): Uint8Array {
    const { command: number, api, key, value, timeoutMs } = request
    if (number !== command.set || key === undefined || value === undefined || timeoutMs < 1) {
      return encodeRequest(request)
    }
    if (this.#lastApi.name !== api) this.#lastApi = { name: api, bytes: utf8Encode(api) }
    return encodeSet(this.#lastApi.bytes, { key, value, timeoutMs })
  }

  /** Writes to one node that come in one turn share a call; each waits no longer than it may. */
  #gather(
    to: NodeId,
    { frame, ms }: { readonly frame: Uint8Array; readonly ms: number },
    closing: Closing | undefined,
  ): Promise<Uint8Array> {
    let gathered = this.#writes.get(to)
    if (gathered === undefined) {
      const send: SendParts<Uint8Array | Fault> = (frames) => this.#callAll(to, frames)
      gathered = new Gatherer(this.#ends.host.clock, { bytesMax: callBytesWanted, send })
      this.#writes.set(to, gathered)
    }
    return within(this.#ends.host.clock, gathered.add(frame), { ms, late: noAnswer, closing })
  }

  async #callAll(
    to: NodeId,
    frames: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | Fault)[]> {
    const { rpc } = this.#ends
    const options = { deadlineMs: sharedMsMax }
    const answer = await rpc.call(to, controlMethod.meshCommands, encodeParts(frames), options)
    return decodeParts(answer).map(decodeOutcome)
  }

  async #serveAll(call: IncomingCall): Promise<Uint8Array> {
    const frames = decodeParts(call.request)
    const alike = readSets(frames)
    if (alike !== undefined) return encodeOutcomes(await this.#setAll(alike, call.deadlineMs))
    const outcomes = frames.map(async (request) => {
      try {
        return encodeOutcome(await this.#serve(request, call.deadlineMs))
      } catch (error) {
        return encodeOutcome(toFault(error))
      }
    })
    return encodeParts(await Promise.all(outcomes))
  }

  async #setAll(
    { api, sets, timeoutMs }: NonNullable<ReturnType<typeof readSets>>,
    deadlineMs: number,
  ): Promise<readonly (Uint8Array | Fault)[]> {
    try {
      const served = this.#mustServe(utf8Decode(api))
      const ms = Math.max(1, Math.min(timeoutMs, deadlineMs, timeoutMsMax))
      const faults = await served.setAll(sets, ms)
      const done = encodeAnswer(this.#passedOn(served))
      return faults.map((fault) => fault ?? done)
    } catch (error) {
      return new Array(sets.length).fill(toFault(error))
    }
  }

  /** Tells who asks for a write whom to ask the next time. */
  #passedOn(served: Served): Partial<Answer> {
    const leader = served.leader()
    return leader === undefined || leader === this.#ends.self ? {} : { leader }
  }

  #mustServe(api: string): Served {
    const namespace = namespaceOfApi(api)
    const served = this.#ends.find(namespace)
    if (served !== undefined) return served
    throw new Fault('not-found', `node ${this.#ends.self} does not host ${namespace}`)
  }

  #serve(frame: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    const request = decodeRequest(frame)
    const timeoutMs = Math.max(1, Math.min(request.timeoutMs, deadlineMs, timeoutMsMax))
    return this.#answer({ ...request, timeoutMs })
  }

  async #answer(request: Request): Promise<Uint8Array> {
    const served = this.#mustServe(request.api)
    switch (request.command) {
      case command.set:
        await served.write(utf8Decode(request.key), request.value, request.timeoutMs)
        return encodeAnswer(this.#passedOn(served))
      case command.delete:
        return encodeAnswer({
          ...this.#passedOn(served),
          isFound: await served.write(utf8Decode(request.key), undefined, request.timeoutMs),
        })
      case command.get:
        return this.#get(served, request)
      case command.keys:
        return this.#keys(served, request)
      case command.exchange:
        this.#ends.directory.hear(request.peers)
        return encodeAnswer({ peers: this.#ends.directory.known().slice(0, peersMax) })
      case command.apply:
      case command.join:
      case command.members:
        return this.#answerAsLeader(served, request)
      default:
        throw new Fault('unsupported', `no command has the number ${request.command}`)
    }
  }

  async #get(served: Served, { key, barrierMs }: Request): Promise<Uint8Array> {
    const value = await served.read(utf8Decode(key), barrierMs)
    return encodeAnswer(value === undefined ? {} : { isFound: true, value })
  }

  /** `key` is the prefix, `value` the last key of the page before. */
  async #keys(served: Served, { key, value, barrierMs }: Request): Promise<Uint8Array> {
    const after = utf8Decode(value)
    const { keys, hasMore } = await served.list(utf8Decode(key), { after, barrierMs })
    return encodeAnswer({ keys: keys.map((one) => utf8Encode(one)), hasMore })
  }

  async #answerAsLeader(served: Served, request: Request): Promise<Uint8Array> {
    if (served.isLeader()) return this.#answerHere(served, request)
    const leader = served.leader()
    if (request.isForwarded || leader === undefined || leader === this.#ends.self) {
      if (request.command === command.members) {
        return encodeAnswer({ members: served.wireMembers() })
      }
      const who = leader === undefined ? 'knows no leader' : 'does not lead'
      throw new Fault('not-leader', `node ${this.#ends.self} ${who}`, {
        fields: { leader: String(leader ?? '') },
      })
    }
    try {
      return encodeAnswer(await this.ask(leader, { ...request, isForwarded: true }))
    } catch (error) {
      const isLost = isFault(error, 'unavailable') && error.outcome === 'failed'
      if (request.command !== command.members || !isLost) throw error
      return encodeAnswer({ members: served.wireMembers() })
    }
  }

  async #answerHere(served: Served, request: Request): Promise<Uint8Array> {
    if (request.command === command.members) {
      return encodeAnswer({ members: served.wireMembers(), isLeaders: true })
    }
    if (request.command === command.apply) {
      return encodeAnswer({ value: await served.propose(request.value, request.timeoutMs) })
    }
    if (request.join === undefined) throw new Fault('invalid', 'a join that names no node')
    this.#ends.directory.hear([request.join])
    return encodeAnswer({ isVoter: await served.admit(request.join) })
  }
}

function noAnswer(): Fault {
  return new Fault('deadline', 'no answer in time', { outcome: 'unknown' })
}

function isShared({ command: number, timeoutMs }: Ask): boolean {
  return (number === command.set || number === command.delete) && timeoutMs <= sharedMsMax
}
