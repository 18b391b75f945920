// One client's single requests on objects: put (also on conditions), read (whole, a range, the head), delete
// one or several, copy, races of conditional writes, and pages of lists. Each asks a gateway drawn from
// the seed and tells the history what came of it.

import { type Random, utf8Encode } from '../../src/base/index.ts'
import type { RegisterOperation } from '../checkers/linearizability.ts'
import { lastName, type ListAnswer, type ListQuestion } from '../checkers/listing.ts'
import { WorldFailure } from '../failures.ts'
import type { World } from '../world.ts'
import {
  elementsOf,
  type S3Client,
  type S3Outcome,
  type S3Request,
  textsOf,
  unquoted,
} from './s3-client.ts'
import type { ObjectHistory } from './s3-history.ts'

export type ObjectWorld = {
  readonly world: World
  readonly client: S3Client
  readonly history: ObjectHistory
  readonly places: readonly number[]
}

/** What a write hangs on: nothing, absence, or an ETag. */
export type Condition =
  | { readonly kind: 'none' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'match'; readonly etag: string }

const never = Number.POSITIVE_INFINITY
const pagesMax = 60
const prefixes = ['', '', 'logs/', 'photos/2', 'race/', 'nothing/']

export function pick<T>(from: readonly T[], random: Random): T {
  return from[random.integer(from.length)] as T
}

export function conditionHeaders(condition: Condition): NonNullable<S3Request['headers']> {
  if (condition.kind === 'absent') return [['if-none-match', '*']]
  return condition.kind === 'match' ? [['if-match', `"${condition.etag}"`]] : []
}

/** The history's entry of a write that began and ended so, if it can have had an effect or says anything. */
export function recordWrite(
  { history, world }: ObjectWorld,
  key: string,
  write: {
    readonly value: string | undefined
    readonly condition: Condition
    readonly startMs: number
    readonly outcome: S3Outcome
  },
): void {
  const { value, condition, startMs, outcome } = write
  if (outcome.kind === 'nobody') return
  const isKnown = outcome.kind !== 'unknown'
  if (!isKnown) world.count('outcomes unknown')
  const endMs = isKnown ? world.nowMs : never
  if (outcome.kind === 'refused' && !isRefusal(condition, outcome)) {
    const { status, code } = outcome
    throw new WorldFailure(`a write of ${key} was refused with ${status} ${code}`)
  }
  if (condition.kind === 'none') {
    if (outcome.kind !== 'refused') history.add(key, { kind: 'write', value, startMs, endMs })
    return
  }
  // Writers that met too often: told so, nothing done.
  if (outcome.kind === 'refused' && outcome.status === 409) return
  const expected = condition.kind === 'absent' ? undefined : condition.etag
  const isDone = isKnown ? outcome.kind === 'done' : undefined
  const operation: RegisterOperation = {
    kind: 'compare-and-set',
    value,
    expected,
    isDone,
    startMs,
    endMs,
  }
  history.add(key, operation)
}

function isRefusal(condition: Condition, outcome: { readonly status: number }): boolean {
  if (outcome.status === 409) return true
  if (condition.kind === 'none') return false
  return outcome.status === 412 || (condition.kind === 'match' && outcome.status === 404)
}

export async function putObject(
  at: ObjectWorld,
  key: string,
  put: { readonly body: Uint8Array; readonly place: number; readonly condition: Condition },
): Promise<S3Outcome> {
  const { body, place, condition } = put
  const startMs = at.world.nowMs
  const etag = at.history.remember(body)
  const headers = conditionHeaders(condition)
  const outcome = await at.client.ask(place, { method: 'PUT', key, body, headers })
  if (outcome.kind === 'done') {
    const told = unquoted(outcome.answer.headers.get('etag'))
    if (told !== etag) throw new WorldFailure(`the put of ${key} has ETag ${told}, not ${etag}`)
    at.world.count('objects put')
    if (condition.kind !== 'none') at.world.count('conditional writes won')
  }
  if (outcome.kind === 'refused') at.world.count('conditional writes lost')
  recordWrite(at, key, { value: etag, condition, startMs, outcome })
  return outcome
}

/** True when the object was read, or read as absent. */
export async function getObject(at: ObjectWorld, key: string, place: number): Promise<boolean> {
  const startMs = at.world.nowMs
  const outcome = await at.client.ask(place, { method: 'GET', key })
  const isSeen = recordRead(at, key, { startMs, outcome, at: 0, isHead: false })
  if (isSeen) at.world.count('objects read')
  return isSeen
}

export async function headObject(at: ObjectWorld, key: string, place: number): Promise<void> {
  const startMs = at.world.nowMs
  const outcome = await at.client.ask(place, { method: 'HEAD', key })
  if (recordRead(at, key, { startMs, outcome, at: 0, isHead: true })) at.world.count('heads read')
}

export async function getRange(at: ObjectWorld, key: string, random: Random): Promise<void> {
  const startMs = at.world.nowMs
  const from = random.integer(pick([100, 5_000, 200_000], random))
  const count = 1 + random.integer(pick([10, 3_000, 100_000], random))
  const range = pick([`${from}-${from + count - 1}`, `${from}-`, `-${count}`], random)
  const headers = [['range', `bytes=${range}`]] as const
  const outcome = await at.client.ask(pick(at.places, random), { method: 'GET', key, headers })
  if (outcome.kind === 'refused' && outcome.status === 416) return
  if (outcome.kind !== 'done') {
    recordRead(at, key, { startMs, outcome, at: 0, isHead: false })
    return
  }
  const told = outcome.answer.headers.get('content-range') ?? ''
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(told) ?? []
  const bytes = outcome.answer.body
  const isRight = outcome.answer.status === 206 && Number(last) - Number(first) + 1 === bytes.length
  const wanted = range.startsWith('-')
    ? [Math.max(0, Number(size) - count), Number(size) - 1]
    : [from, range.endsWith('-') ? Number(size) - 1 : Math.min(from + count, Number(size)) - 1]
  if (!isRight || Number(first) !== wanted[0] || Number(last) !== wanted[1]) {
    throw new WorldFailure(`range ${range} of ${key} was answered by ${told}`)
  }
  const etag = unquoted(outcome.answer.headers.get('etag'))
  const seen = { startMs, endMs: at.world.nowMs, at: Number(first), bytes, size: Number(size) }
  at.history.saw(key, etag, seen)
  at.world.count('ranges read')
}

function recordRead(
  { world, history }: ObjectWorld,
  key: string,
  read: {
    readonly startMs: number
    readonly outcome: S3Outcome
    readonly at: number
    readonly isHead: boolean
  },
): boolean {
  const { startMs, outcome, isHead } = read
  const endMs = world.nowMs
  if (outcome.kind === 'refused') {
    const isAbsent = outcome.status === 404 && (isHead || outcome.code === 'NoSuchKey')
    if (!isAbsent) {
      const { status, code } = outcome
      throw new WorldFailure(`a read of ${key} was refused with ${status} ${code}`)
    }
    history.sawNothing(key, { startMs, endMs })
    return true
  }
  if (outcome.kind !== 'done') return false
  const { headers, body } = outcome.answer
  const size = Number(headers.get('content-length') ?? body.length)
  const bytes = isHead ? undefined : body
  const etag = unquoted(headers.get('etag'))
  history.saw(key, etag, { startMs, endMs, at: 0, bytes, size })
  if (!isHead && body.length !== size) {
    throw new WorldFailure(`${key} has ${body.length} bytes in an answer of ${size}`)
  }
  return true
}

export async function deleteObject(at: ObjectWorld, key: string, place: number): Promise<void> {
  const startMs = at.world.nowMs
  const outcome = await at.client.ask(place, { method: 'DELETE', key })
  if (outcome.kind === 'done') at.world.count('objects deleted')
  const condition = { kind: 'none' } as const
  recordWrite(at, key, { value: undefined, condition, startMs, outcome })
}

/** One request deletes several; each key has its own outcome in the answer. */
export async function deleteSeveral(
  at: ObjectWorld,
  keys: readonly string[],
  place: number,
): Promise<void> {
  const startMs = at.world.nowMs
  const distinct = [...new Set(keys)]
  const objects = distinct.map((key) => `<Object><Key>${key}</Key></Object>`).join('')
  const body = utf8Encode(`<Delete>${objects}</Delete>`)
  const query = [['delete', '']] as const
  const outcome = await at.client.ask(place, { method: 'POST', query, body })
  const deleted = new Set<string>()
  if (outcome.kind === 'done') {
    for (const one of elementsOf(outcome.text, 'Deleted')) deleted.add(textsOf(one, 'Key')[0] ?? '')
    const failed = elementsOf(outcome.text, 'Error').map((one) => textsOf(one, 'Key')[0] ?? '')
    const told = [...deleted, ...failed].sort().join()
    if (told !== [...distinct].sort().join()) {
      throw new WorldFailure(`a batch delete of ${distinct.join()} told of ${told}`)
    }
    at.world.count('objects deleted in batches', deleted.size)
  }
  for (const key of distinct) {
    const isOpen = outcome.kind === 'done' && !deleted.has(key)
    const condition = { kind: 'none' } as const
    const own: S3Outcome = isOpen ? { kind: 'unknown' } : outcome
    recordWrite(at, key, { value: undefined, condition, startMs, outcome: own })
  }
}

export async function copyObject(
  at: ObjectWorld,
  keys: { readonly source: string; readonly target: string },
  place: number,
): Promise<void> {
  const { source, target } = keys
  if (source === target) return
  const startMs = at.world.nowMs
  const headers = [['x-amz-copy-source', `/${at.client.bucket}/${source}`]] as const
  const outcome = await at.client.ask(place, { method: 'PUT', key: target, headers })
  if (outcome.kind === 'nobody') return
  if (outcome.kind === 'unknown') {
    at.world.count('outcomes unknown')
    at.history.copyUnknown({ source, target, startMs })
    return
  }
  const endMs = at.world.nowMs
  if (outcome.kind === 'done') {
    at.world.count('objects copied')
    const etag = unquoted(textsOf(outcome.text, 'ETag')[0])
    at.history.copied({ source, target, startMs, endMs }, etag)
    return
  }
  if (outcome.code === 'NoSuchKey') at.history.sawNothing(source, { startMs, endMs })
  else if (outcome.status !== 409) {
    throw new WorldFailure(`a copy of ${source} was refused with ${outcome.status} ${outcome.code}`)
  }
}

/**
 * Writers on different nodes that all want the key absent, or all want the same ETag. One may win, unless
 * somebody changes the key back in between: the history judges.
 */
export async function race(at: ObjectWorld, key: string, random: Random): Promise<void> {
  const known = at.history.lastKnown(key)
  const condition: Condition =
    known === undefined ? { kind: 'absent' } : { kind: 'match', etag: known }
  const shift = random.integer(at.places.length)
  const racers = [0, 1, 2].map((number) => {
    const place = at.places[(number + shift) % at.places.length] as number
    return putObject(at, key, { body: drawBody(random), place, condition })
  })
  const outcomes = await Promise.all(racers)
  const won = outcomes.filter(({ kind }) => kind === 'done').length
  const isDecided = won === 1 && outcomes.some(({ kind }) => kind === 'refused')
  if (isDecided) at.world.count(`races decided: ${condition.kind}`)
}

/** Pages of one list, asked for at a different node each, until it ends or one is not answered. */
export async function listObjects(at: ObjectWorld, random: Random): Promise<void> {
  const version = 1 + random.integer(2)
  const prefix = pick(prefixes, random)
  const delimiter = random.chance(0.5) ? '/' : ''
  const limit = random.chance(0.3) ? 1_000 : 1 + random.integer(8)
  let after = ''
  let token: string | undefined
  for (let page = 0; page < pagesMax; page++) {
    const question = { prefix, delimiter, after, limit }
    const startMs = at.world.nowMs
    const query = queryOf(question, { version, token })
    const outcome = await at.client.ask(pick(at.places, random), { method: 'GET', query })
    if (outcome.kind === 'refused') {
      throw new WorldFailure(`a list was refused with ${outcome.status} ${outcome.code}`)
    }
    if (outcome.kind !== 'done') return
    const answer = readPage(outcome.text)
    at.history.sawPage(question, answer, { startMs, endMs: at.world.nowMs })
    at.world.count(`pages of lists, version ${version}`)
    if (!answer.isTruncated) {
      at.world.count(`lists read to the end${page > 0 ? ' in several pages' : ''}`)
      return
    }
    token = textsOf(outcome.text, 'NextContinuationToken')[0]
    after = nextAfter(answer, { version, delimiter, text: outcome.text })
  }
}

function queryOf(
  question: ListQuestion,
  how: { readonly version: number; readonly token: string | undefined },
): readonly (readonly [string, string])[] {
  const query: [string, string][] = [['max-keys', String(question.limit)]]
  if (question.prefix !== '') query.push(['prefix', question.prefix])
  if (question.delimiter !== '') query.push(['delimiter', question.delimiter])
  if (how.version === 1) {
    if (question.after !== '') query.push(['marker', question.after])
    return query
  }
  query.push(['list-type', '2'])
  if (how.token !== undefined) query.push(['continuation-token', how.token])
  return query
}

function nextAfter(
  answer: ListAnswer,
  how: { readonly version: number; readonly delimiter: string; readonly text: string },
): string {
  const last = lastName(answer)
  if (how.version === 2 || how.delimiter === '') return last
  const told = textsOf(how.text, 'NextMarker')[0] ?? ''
  if (told !== last) throw new WorldFailure(`a list ends with ${last} and goes on after ${told}`)
  return told
}

function readPage(text: string): ListAnswer {
  const objects = elementsOf(text, 'Contents').map((one) => ({
    key: textsOf(one, 'Key')[0] ?? '',
    etag: unquoted(textsOf(one, 'ETag')[0]),
    size: Number(textsOf(one, 'Size')[0]),
  }))
  const folded = elementsOf(text, 'CommonPrefixes').map((one) => textsOf(one, 'Prefix')[0] ?? '')
  const isTruncated = textsOf(text, 'IsTruncated')[0] === 'true'
  const keyCount = textsOf(text, 'KeyCount')[0]
  const shown = objects.length + folded.length
  if (keyCount !== undefined && Number(keyCount) !== shown) {
    throw new WorldFailure(`a list counts ${keyCount} names and shows ${shown}`)
  }
  return { objects, prefixes: folded, isTruncated }
}

/** Mostly small (riding in an entry), sometimes several units of a segment; never the same twice. */
export function drawBody(random: Random): Uint8Array {
  return cheapBody(random, random.integer(pick([100, 3_000, 40_000, 300_000], random)))
}

/** At least 12 bytes drawn from the seed, the rest a sequence that they begin. */
export function cheapBody(random: Random, length: number): Uint8Array {
  const body = new Uint8Array(Math.max(12, length))
  body.set(random.bytes(12))
  const words = new Uint32Array(body.buffer, 0, body.length >> 2)
  for (let i = 3; i < words.length; i++) {
    words[i] = Math.imul((words[i - 1] as number) ^ (words[i - 3] as number), 0x9e3779b1) + i
  }
  return body
}
