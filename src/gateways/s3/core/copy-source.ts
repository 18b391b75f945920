// The source of a copy, read once: what is authorised is what is copied.

import { invalidArgument, notImplemented } from './fault.ts'
import { checkBucketName, checkKey } from './names.ts'
import { percentDecode } from './text.ts'

export type SourcePlace = {
  readonly bucket: string
  readonly key: string
  /** The source names a version, which may only be 'null'. */
  readonly isVersioned: boolean
}

/** '/bucket/key' or 'bucket/key', percent-encoded, with '?versionId=null' at most. */
export function readSourcePlace(headers: ReadonlyMap<string, string>): SourcePlace {
  const value = headers.get('x-amz-copy-source') ?? ''
  if (value.startsWith('arn:')) throw notImplemented('A copy source by ARN is not implemented.')
  const mark = value.indexOf('?versionId=')
  if (mark >= 0 && value.slice(mark) !== '?versionId=null') {
    throw notImplemented('Versioning is not implemented: a copy source has no versions.')
  }
  const decoded = percentDecode(mark < 0 ? value : value.slice(0, mark), false)
  const path = decoded?.startsWith('/') === true ? decoded.slice(1) : decoded
  const slash = path?.indexOf('/') ?? -1
  if (path === undefined || slash < 1 || slash === path.length - 1) {
    throw invalidArgument(
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
      'x-amz-copy-source',
      value.slice(0, 64),
    )
  }
  const bucket = path.slice(0, slash)
  const key = path.slice(slash + 1)
  checkBucketName(bucket)
  checkKey(key)
  return { bucket, key, isVersioned: mark >= 0 }
}
