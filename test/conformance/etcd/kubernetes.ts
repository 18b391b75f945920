// What Kubernetes' storage asks of etcd, over grpc-js and our messages: transactions that write at a revision, lists,
// watches. What happened is kept as lines, with revisions counted from the story's beginning.

import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import { decodeBytes, encodeBytes, type Message, type MessageOf } from '../../../src/base/index.ts'
import {
  compactionRequest,
  compare as compareFields,
  deleteRequest,
  headerOnly,
  keyValue,
  putRequest,
  rangeRequest,
  rangeResponse,
  txnRequest,
  txnResponse,
  watchCreate,
  watchRequest,
  watchResponse,
} from '../../../src/keyspace/etcd/wire.ts'

// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
type Fields = Record<string, any>
export type WatchAnswer = MessageOf<typeof watchResponse>

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const told = (value: Uint8Array | undefined): string => new TextDecoder().decode(value)
const asIs = (given: Uint8Array): Buffer => Buffer.from(given)

function whole<F extends Fields>(
  schema: Message<F>,
  fields: Partial<MessageOf<Message<F>>>,
): MessageOf<Message<F>> {
  return { ...decodeBytes(schema, new Uint8Array()), ...fields }
}

/** What Kubernetes' storage does, and its story as lines. */
export class Storage {
  readonly client: Client
  readonly lines: string[] = []
  start = 0

  constructor(authority: string) {
    this.client = new Client(authority, credentials.createInsecure())
  }

  ask<Q extends Fields, A extends Fields>(
    [method, request, response]: readonly [string, Message<Q>, Message<A>],
    fields: Partial<MessageOf<Message<Q>>>,
  ): Promise<MessageOf<Message<A>>> {
    const encoded = encodeBytes(request, whole(request, fields))
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 10_000 }
      this.client.makeUnaryRequest(method, asIs, asIs, encoded, options, (error, answer) =>
        error === null && answer !== undefined
          ? resolve(decodeBytes(response, answer))
          : reject(error),
      )
    })
  }

  /** Puts, or deletes when there is no value, if the key is at that revision; else answers with what is there. */
  writeAt(
    key: string,
    atRevision: number,
    value: string | undefined,
  ): Promise<MessageOf<typeof txnResponse>> {
    const at = { key: bytes(key) }
    const change =
      value === undefined
        ? { ...noOperation, requestDeleteRange: whole(deleteRequest, at) }
        : { ...noOperation, requestPut: whole(putRequest, { ...at, value: bytes(value) }) }
    return this.ask(txn, {
      compare: [whole(compareFields, { ...at, target: modTarget, modRevision: atRevision })],
      success: [change],
      failure: [{ ...noOperation, requestRange: whole(rangeRequest, at) }],
    })
  }

  async write(key: string, atRevision: number, value: string | undefined): Promise<number> {
    const answer = await this.writeAt(key, atRevision, value)
    const revision = answer.header?.revision ?? 0
    const found = answer.responses[0]?.responseRange?.kvs[0]
    const there =
      found === undefined ? 'nothing' : `${told(found.value)} at ${this.from(found.modRevision)}`
    this.lines.push(
      answer.succeeded ? `${key} at ${this.from(revision)}` : `${key} refused: ${there}`,
    )
    return revision
  }

  async list(
    fields: Partial<MessageOf<typeof rangeRequest>>,
  ): Promise<MessageOf<typeof rangeResponse> | undefined> {
    try {
      const answer = await this.ask(range, fields)
      const pairs = answer.kvs.map((pair) => {
        const { key, value, modRevision, version } = pair ?? noPair
        return `${told(key)}=${told(value)}@${this.from(modRevision)}v${version}`
      })
      const revision = this.from(answer.header?.revision ?? 0)
      this.lines.push(`list ${pairs.join()} more ${answer.more} of ${answer.count} at ${revision}`)
      return answer
    } catch (error) {
      this.lines.push(`list refused: ${(error as Error).message}`)
      return undefined
    }
  }

  from(revision: number): number {
    return revision - this.start
  }
}

export const range = ['/etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
const txn = ['/etcdserverpb.KV/Txn', txnRequest, txnResponse] as const
export const compact = ['/etcdserverpb.KV/Compact', compactionRequest, headerOnly] as const
type Operation = NonNullable<MessageOf<typeof txnRequest>['success'][number]>
const noOperation: Operation = {
  requestRange: undefined,
  requestPut: undefined,
  requestDeleteRange: undefined,
  requestTxn: undefined,
}
const modTarget = 2
export const noPair = decodeBytes(keyValue, new Uint8Array())

export class Watching {
  readonly #stream: ClientDuplexStream<Uint8Array, Buffer>
  readonly #answers: AsyncIterator<Buffer>

  constructor(storage: Storage) {
    this.#stream = storage.client.makeBidiStreamRequest('/etcdserverpb.Watch/Watch', asIs, asIs)
    this.#stream.on('error', () => undefined)
    this.#answers = this.#stream[Symbol.asyncIterator]()
  }

  send(fields: Partial<MessageOf<typeof watchRequest>>): void {
    this.#stream.write(encodeBytes(watchRequest, whole(watchRequest, fields)))
  }

  create(fields: Partial<MessageOf<typeof watchCreate>>): void {
    this.send({ createRequest: whole(watchCreate, fields) })
  }

  /** Rejects when the stream broke. */
  async next(): Promise<WatchAnswer> {
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error('the stream of watches ended')
    return decodeBytes(watchResponse, value)
  }

  close(): void {
    this.#stream.cancel()
  }
}
