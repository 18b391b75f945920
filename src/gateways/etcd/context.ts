// What every method of the gateway stands on, and the shape of a method: unary or a stream of messages,
// independent of whether gRPC or JSON carried it.

import type { Message, MessageOf } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { FullKeyspace, RequestOptions } from '../../keyspace/index.ts'
import { Passwords } from '../passwords.ts'
import { Counters } from './counters.ts'
import type { AnySchema, Header } from '../../keyspace/etcd/wire.ts'
import { EtcdRefusal, etcdErrors } from './core/errors.ts'
import { Gate, type Permit } from './gate.ts'

export type EtcdMember = {
  readonly id: number
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
}

/** The group behind the keyspace, as this node last knew it. */
export type EtcdGroup = {
  readonly term: number
  /** 0: unknown. */
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly isLearner: boolean
  /** The configuration; voters on their way out of it are not told. */
  readonly voters: readonly number[]
  readonly learners: readonly number[]
  /** New leaders that this member has seen since it began. */
  readonly leaderChanges: number
}

/** What the gateway tells clients of the cluster. Ids are unsigned and below 2^53. */
export type EtcdCluster = {
  readonly clusterId: number
  readonly self: number
  /** The nodes of the cluster, whether the group has them or not. */
  members(): readonly EtcdMember[]
  /** Whether this node reaches it now. */
  isUp(id: number): boolean
  group(): EtcdGroup
  /** Settles when group() is what this node's replica knows now; otherwise it is up to half a second old. */
  refresh(): Promise<void>
  /** Settles when the member leads. */
  moveLeader(to: number): Promise<void>
  /**
   * Makes a node of the cluster this in the group, and settles when its configuration says so. Fault 'deadline',
   * outcome unknown, when it does not in time.
   */
  setRole(id: number, role: 'voter' | 'learner' | 'absent'): Promise<void>
}

export type EtcdDependencies = {
  readonly host: Host
  /** The namespace that clients of etcd see. */
  readonly keyspace: FullKeyspace
  readonly cluster: EtcdCluster
  /** Between two notices of progress to a quiet watch that asked for them. Default: etcd's ten minutes. */
  readonly progressMs?: number
}

const progressMsDefault = 600_000
/** How long a request may take when its client states no deadline: etcd's 5 s and two election timeouts. */
export const requestMsMax = 7_000
/** At most so long a delete of a range takes, which may have very many keys, when its client waits for it. */
const rangeDeleteMsMax = 60_000

/** How long a call may take whose client waits for `timeoutMs`. */
export function deadlineOf(method: Method, timeoutMs: number): number {
  const isRangeDelete = method.name === 'etcdserverpb.KV/DeleteRange'
  return Math.min(
    timeoutMs,
    isRangeDelete && timeoutMs < Number.POSITIVE_INFINITY ? rangeDeleteMsMax : requestMsMax,
  )
}

export class Context {
  readonly host: Host
  readonly keyspace: FullKeyspace
  readonly cluster: EtcdCluster
  readonly progressMs: number
  readonly gate: Gate
  readonly passwords: Passwords
  readonly counters = new Counters()

  constructor({ host, keyspace, cluster, progressMs }: EtcdDependencies) {
    this.host = host
    this.keyspace = keyspace
    this.cluster = cluster
    this.progressMs = progressMs ?? progressMsDefault
    this.gate = new Gate(host, keyspace)
    this.passwords = new Passwords(host, () => new EtcdRefusal(etcdErrors.tooManyRequests))
  }

  header(revision: number): Header {
    const { clusterId, self } = this.cluster
    return { clusterId, memberId: self, revision, raftTerm: this.cluster.group().term }
  }

  /** The header of an answer that has no revision of its own: what this node has applied. */
  localHeader(): Header {
    return this.header(this.keyspace.freshness().revision)
  }
}

/** A stream in both directions. Answers go out in order; nothing is sent once the stream has ended. */
export type MessageStream<Q, A> = {
  /** Ends when the client has sent everything; throws when it went away. */
  readonly requests: AsyncIterable<Q>
  /** As the client named itself. */
  readonly token: string | undefined
  /** Aborts when the client has gone or its time is over. */
  readonly signal: AbortSignal
  /** False: enough waits to be sent; send more after drained(). */
  send(answer: A): boolean
  /** Settles when there is room, also when the stream has ended. */
  drained(): Promise<void>
}

export type Method = {
  readonly name: string
  readonly request: AnySchema
  readonly response: AnySchema
  readonly run:
    | { readonly kind: 'unary'; readonly call: UnaryRun<unknown, unknown> }
    | { readonly kind: 'stream'; readonly call: StreamRun<unknown, unknown> }
}
/** What a call gives on to the keyspace; `guard` is the permit's. */
export type CallOptions = RequestOptions & { readonly permit: Permit }

/**
 * What follows a request that was allowed and has happened, or waits: it names no document of users, since to be
 * decided anew would have it happen again, or begin its wait anew.
 */
export function unguarded(options: RequestOptions): RequestOptions {
  const { guard: _guard, ...rest } = options
  return rest
}

type UnaryRun<Q, A> = (context: Context, request: Q, options: CallOptions) => Promise<A>
type StreamRun<Q, A> = (context: Context, stream: MessageStream<Q, A>) => Promise<void>

// biome-ignore lint/suspicious/noExplicitAny: inference over open records of fields
type Fields = Record<string, any>
type Shapes<Q extends Fields, A extends Fields> = readonly [Message<Q>, Message<A>]

/** `name` as in gRPC's path: 'etcdserverpb.KV/Range'. */
export function unary<Q extends Fields, A extends Fields>(
  name: string,
  [request, response]: Shapes<Q, A>,
  call: UnaryRun<MessageOf<Message<Q>>, MessageOf<Message<A>>>,
): Method {
  const run = { kind: 'unary', call: call as UnaryRun<unknown, unknown> } as const
  return { name, request: request as AnySchema, response: response as AnySchema, run }
}

export function streaming<Q extends Fields, A extends Fields>(
  name: string,
  [request, response]: Shapes<Q, A>,
  call: StreamRun<MessageOf<Message<Q>>, MessageOf<Message<A>>>,
): Method {
  const run = { kind: 'stream', call: call as StreamRun<unknown, unknown> } as const
  return { name, request: request as AnySchema, response: response as AnySchema, run }
}
