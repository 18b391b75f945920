// One client's multipart upload from beginning to end: parts at different nodes, some replaced, some
// without an answer; the list of parts; then completion, repeated while its answer is not known, or abort.
//
// Checked: the list of parts shows every acknowledged part with the ETag of its last bytes; a completed
// object has the ETag of its parts; a repeated completion is answered like the first; after an abort
// nobody knows the upload. What was completed enters the history as one write.

import { concatBytes, digestHex, fromHex, type Random, utf8Encode } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'
import type { S3Outcome } from './s3-client.ts'
import { elementsOf, textsOf, unquoted } from './s3-client.ts'
import {
  cheapBody,
  type Condition,
  conditionHeaders,
  drawBody,
  type ObjectWorld,
  pick,
  recordWrite,
} from './s3-objects.ts'

type Part = {
  /** ETags that the part may have: one when the last write of it is known. */
  readonly possible: Map<string, Uint8Array>
  /** It may be missing: no write of it is acknowledged. */
  isSure: boolean
}
type Upload = {
  readonly key: string
  readonly uploadId: string
  readonly parts: Map<number, Part>
  readonly random: Random
}
type Listed = { readonly number: number; readonly etag: string; readonly body: Uint8Array }

const partBytesMin = 5 * 1024 * 1024
const completionsMax = 4

export async function uploadInParts(at: ObjectWorld, key: string, random: Random): Promise<void> {
  const query = [['uploads', '']] as const
  const begun = await at.client.ask(pick(at.places, random), { method: 'POST', key, query })
  if (begun.kind === 'refused') throw refused('the beginning of an upload', begun)
  if (begun.kind !== 'done') return
  const uploadId = textsOf(begun.text, 'UploadId')[0] ?? ''
  const upload: Upload = { key, uploadId, parts: new Map(), random }
  const isLarge = random.chance(0.05)
  const count = isLarge ? 2 : 1 + random.integer(3)
  let number = 0
  for (let i = 0; i < count; i++) {
    number += 1 + random.integer(3)
    const isFull = isLarge && i === 0
    await putPart(at, upload, {
      number,
      body: isFull ? cheapBody(random, partBytesMin) : drawBody(random),
    })
    if (isFull || !random.chance(0.3)) continue
    await putPart(at, upload, { number, body: drawBody(random) })
    at.world.count('parts replaced')
  }
  const listed = await listParts(at, upload)
  if (listed === undefined || listed.length === 0 || random.chance(0.2)) await abort(at, upload)
  else await complete(at, upload, chooseParts(listed, random))
}

async function putPart(
  at: ObjectWorld,
  upload: Upload,
  { number, body }: { readonly number: number; readonly body: Uint8Array },
): Promise<void> {
  const { key, uploadId, parts, random } = upload
  const query = [
    ['partNumber', String(number)],
    ['uploadId', uploadId],
  ] as const
  const etag = digestHex('md5', body)
  const outcome = await at.client.ask(pick(at.places, random), { method: 'PUT', key, query, body })
  if (outcome.kind === 'nobody') return
  if (outcome.kind === 'refused') throw refused(`part ${number} of ${key}`, outcome)
  const known = parts.get(number) ?? { possible: new Map(), isSure: false }
  parts.set(number, known)
  if (outcome.kind === 'unknown') {
    at.world.count('outcomes unknown')
    known.possible.set(etag, body)
    return
  }
  const told = unquoted(outcome.answer.headers.get('etag'))
  if (told !== etag)
    throw new WorldFailure(`part ${number} of ${key} has ETag ${told}, not ${etag}`)
  at.world.count('parts put')
  // A write without an answer that was sent before may still come after this one.
  if (known.possible.size === 1 && known.isSure) known.possible.clear()
  known.possible.set(etag, body)
  known.isSure = true
}

/** Undefined: no answer. Throws WorldFailure when an acknowledged part is missing or another one. */
async function listParts(at: ObjectWorld, upload: Upload): Promise<readonly Listed[] | undefined> {
  const { key, uploadId, parts, random } = upload
  const query = [['uploadId', uploadId]] as const
  const outcome = await at.client.ask(pick(at.places, random), { method: 'GET', key, query })
  if (outcome.kind === 'refused') throw refused(`the list of parts of ${key}`, outcome)
  if (outcome.kind !== 'done') return undefined
  at.world.count('parts listed')
  const listed = elementsOf(outcome.text, 'Part').map((one): Listed => {
    const number = Number(textsOf(one, 'PartNumber')[0])
    const etag = unquoted(textsOf(one, 'ETag')[0])
    const body = parts.get(number)?.possible.get(etag)
    if (body === undefined || body.length !== Number(textsOf(one, 'Size')[0])) {
      throw new WorldFailure(
        `part ${number} of ${key} is listed as ${one}, which nobody wrote last`,
      )
    }
    return { number, etag, body }
  })
  for (const [number, part] of parts) {
    if (!part.isSure || listed.some((one) => one.number === number)) continue
    throw new WorldFailure(`part ${number} of ${key} was acknowledged and is not listed`)
  }
  return listed
}

/** All of them where S3 allows it, else any one: the others must then be forgotten. */
function chooseParts(listed: readonly Listed[], random: Random): readonly Listed[] {
  const isAllowed = listed.slice(0, -1).every(({ body }) => body.length >= partBytesMin)
  return isAllowed ? listed : [pick(listed, random)]
}

async function complete(at: ObjectWorld, upload: Upload, parts: readonly Listed[]): Promise<void> {
  const { key, random } = upload
  const md5s = concatBytes(parts.map(({ etag }) => fromHex(etag) ?? new Uint8Array(0)))
  const value = `${digestHex('md5', md5s)}-${parts.length}`
  at.history.rememberAs(value, concatBytes(parts.map(({ body }) => body)))
  const condition: Condition = random.chance(0.2) ? { kind: 'absent' } : { kind: 'none' }
  const startMs = at.world.nowMs
  let last: S3Outcome = { kind: 'nobody' }
  let isOpen = false
  for (let attempt = 0; attempt < completionsMax; attempt++) {
    last = await askToComplete(at, upload, { parts, condition })
    if (last.kind === 'done' || last.kind === 'refused') break
    if (last.kind === 'unknown') isOpen = true
    await at.world.sleep(random.integer(1_500))
  }
  if (last.kind === 'done') {
    if (isOpen) at.world.count('completions repeated')
    at.world.count('uploads completed')
    const told = unquoted(textsOf(last.text, 'ETag')[0])
    if (told !== value)
      throw new WorldFailure(`the upload of ${key} has ETag ${told}, not ${value}`)
    recordWrite(at, key, { value, condition, startMs, outcome: last })
    if (random.chance(0.3)) await completeAgain(at, upload, { parts, condition, value })
    return
  }
  if (last.kind === 'refused') checkRefusal(upload, condition, last)
  const isUnknown = isOpen || last.kind === 'unknown'
  const isJudged = last.kind === 'refused' && last.code !== 'PreconditionFailed'
  const outcome: S3Outcome = isUnknown ? { kind: 'unknown' } : isJudged ? { kind: 'nobody' } : last
  recordWrite(at, key, { value, condition, startMs, outcome })
}

/** An acknowledged completion is answered alike whenever it is asked for again. */
async function completeAgain(
  at: ObjectWorld,
  upload: Upload,
  done: {
    readonly parts: readonly Listed[]
    readonly condition: Condition
    readonly value: string
  },
): Promise<void> {
  const again = await askToComplete(at, upload, done)
  if (again.kind === 'refused') throw refused(`a repeated completion of ${upload.key}`, again)
  if (again.kind !== 'done') return
  const told = unquoted(textsOf(again.text, 'ETag')[0])
  if (told !== done.value) {
    throw new WorldFailure(`a repeated completion of ${upload.key} was answered with ETag ${told}`)
  }
  at.world.count('completions repeated')
}

/** A part without an answer may come between the list and the completion; nothing else excuses one. */
function checkRefusal(
  upload: Upload,
  condition: Condition,
  outcome: S3Outcome & { readonly kind: 'refused' },
): void {
  const isRaced = [...upload.parts.values()].some((part) => part.possible.size > 1 || !part.isSure)
  const { code } = outcome
  if (isRaced && (code === 'InvalidPart' || code === 'OperationAborted')) return
  if (condition.kind === 'absent' && code === 'PreconditionFailed') return
  throw refused(`the completion of ${upload.key}`, outcome)
}

function askToComplete(
  at: ObjectWorld,
  { key, uploadId, random }: Upload,
  order: { readonly parts: readonly Listed[]; readonly condition: Condition },
): Promise<S3Outcome> {
  const listed = order.parts.map(({ number, etag }) => {
    return `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${etag}&quot;</ETag></Part>`
  })
  const body = utf8Encode(`<CompleteMultipartUpload>${listed.join('')}</CompleteMultipartUpload>`)
  const query = [['uploadId', uploadId]] as const
  const headers = conditionHeaders(order.condition)
  return at.client.ask(pick(at.places, random), { method: 'POST', key, query, headers, body })
}

async function abort(at: ObjectWorld, upload: Upload): Promise<void> {
  const { key, uploadId, random } = upload
  const query = [['uploadId', uploadId]] as const
  const outcome = await at.client.ask(pick(at.places, random), { method: 'DELETE', key, query })
  if (outcome.kind === 'refused') throw refused(`the abort of an upload of ${key}`, outcome)
  if (outcome.kind !== 'done') return
  at.world.count('uploads aborted')
  const after = await at.client.ask(pick(at.places, random), { method: 'GET', key, query })
  const isGone = after.kind === 'refused' && after.code === 'NoSuchUpload'
  if (isGone || after.kind === 'unknown' || after.kind === 'nobody') return
  throw new WorldFailure(`an aborted upload of ${key} is still there`)
}

function refused(what: string, outcome: S3Outcome & { readonly kind: 'refused' }): WorldFailure {
  return new WorldFailure(`${what} was refused with ${outcome.status} ${outcome.code}`)
}
