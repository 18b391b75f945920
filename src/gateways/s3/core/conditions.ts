// Preconditions of requests: of reads (RFC 9110, section 13.2.2, with S3's precedence, which is the same),
// of copy sources, and of writes. Pure: the write conditions are only parsed here and evaluated where
// the object is named.

import type { Fault } from '../../../base/index.ts'
import type { ObjectRecord, WriteCondition } from '../../../objects/index.ts'
import { parseHttpDate } from './dates.ts'
import { invalidRequest, notImplemented, s3Fault } from './fault.ts'
import { unquote } from './xml-read.ts'

export type Version = Pick<ObjectRecord, 'etag' | 'modifiedMs'>

/**
 * Whether a read may go on. If-Match decides over If-Unmodified-Since, and If-None-Match over
 * If-Modified-Since. Fault PreconditionFailed.
 */
export function checkRead(
  headers: ReadonlyMap<string, string>,
  version: Version,
): 'go-on' | 'not-modified' {
  const failed = failedCondition(headers, version, '')
  if (failed === 'if-match' || failed === 'if-unmodified-since') throw preconditionFailed(failed)
  return failed === undefined ? 'go-on' : 'not-modified'
}

/** Conditions on the source of a copy. Fault PreconditionFailed. */
export function checkCopySource(headers: ReadonlyMap<string, string>, version: Version): void {
  const failed = failedCondition(headers, version, 'x-amz-copy-source-')
  if (failed !== undefined) throw preconditionFailed(`x-amz-copy-source-${failed}`)
}

function failedCondition(
  headers: ReadonlyMap<string, string>,
  version: Version,
  prefix: string,
): string | undefined {
  const match = headers.get(`${prefix}if-match`)
  const noneMatch = headers.get(`${prefix}if-none-match`)
  const modifiedAt = Math.floor(version.modifiedMs / 1000) * 1000
  if (match !== undefined) {
    if (!matchesAny(match, version.etag)) return 'if-match'
  } else {
    const since = dateOf(headers.get(`${prefix}if-unmodified-since`))
    if (since !== undefined && modifiedAt > since) return 'if-unmodified-since'
  }
  if (noneMatch !== undefined) {
    if (matchesAny(noneMatch, version.etag)) return 'if-none-match'
  } else {
    const since = dateOf(headers.get(`${prefix}if-modified-since`))
    if (since !== undefined && modifiedAt <= since) return 'if-modified-since'
  }
  return undefined
}

/** A date that cannot be read is no condition (RFC 9110, 13.1.3). */
function dateOf(value: string | undefined): number | undefined {
  return value === undefined ? undefined : parseHttpDate(value.trim())
}

function matchesAny(list: string, etag: string): boolean {
  for (const part of list.split(',')) {
    const candidate = part.trim()
    if (candidate === '*') return true
    if (unquote(candidate.startsWith('W/') ? candidate.slice(2) : candidate) === etag) return true
  }
  return false
}

/** If-Range: whether the Range still refers to this version. */
export function rangeApplies(headers: ReadonlyMap<string, string>, version: Version): boolean {
  const value = headers.get('if-range')?.trim()
  if (value === undefined) return true
  if (value.startsWith('"')) return unquote(value) === version.etag
  const since = dateOf(value)
  return since !== undefined && Math.floor(version.modifiedMs / 1000) * 1000 <= since
}

/**
 * The condition of a write. Only what S3 has: If-None-Match: * and If-Match with one ETag; every other
 * precondition is refused, because a write that ignored one would overwrite what its client protects.
 */
export function readWriteCondition(headers: ReadonlyMap<string, string>): WriteCondition {
  for (const name of ['if-modified-since', 'if-unmodified-since']) {
    if (headers.has(name)) throw unsupportedCondition(name)
  }
  const match = headers.get('if-match')?.trim()
  const noneMatch = headers.get('if-none-match')?.trim()
  if (match !== undefined && noneMatch !== undefined) {
    throw invalidRequest('If-Match and If-None-Match cannot be used together.')
  }
  if (noneMatch !== undefined) {
    if (noneMatch !== '*') throw unsupportedCondition('if-none-match')
    return { kind: 'absent' }
  }
  if (match === undefined) return { kind: 'none' }
  if (match === '' || match === '*' || match.includes(',')) throw unsupportedCondition('if-match')
  return { kind: 'match', etag: unquote(match) }
}

function unsupportedCondition(name: string): Fault {
  return notImplemented('A header you provided implies functionality that is not implemented', name)
}

function preconditionFailed(condition: string): Fault {
  return s3Fault(
    'PreconditionFailed',
    412,
    'At least one of the pre-conditions you specified did not hold',
    { Condition: condition.replaceAll(/\b(if|match|none|modified|unmodified|since)\b/g, titled) },
  )
}

function titled(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
