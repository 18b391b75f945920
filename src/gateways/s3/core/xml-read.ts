// XML in: the three documents that clients send. Parsed as a tree with bounded depth, element count and
// size (the body was bounded before); a document type declaration, and with it every entity of its own,
// is refused, so there is nothing to expand. Namespaces are ignored, as S3 ignores them.
// Anything unexpected is S3's MalformedXML; elements that this gateway would have to obey and cannot are
// 501, never ignored.

import { SaxesParser } from 'saxes'
import type { ChecksumAlgorithm } from '../../../objects/index.ts'
import { malformedXml, notImplemented } from './fault.ts'
import { strictUtf8 } from './text.ts'

type Element = { readonly name: string; readonly children: Element[]; text: string }

const depthMax = 8
const elementsMax = 120_000
export const deleteCountMax = 1000
export const partCountMax = 10_000

export type NamedPart = {
  readonly number: number
  /** Without quotes. */
  readonly etag: string
  readonly checksum?: string
}

export type DeleteOrder = {
  readonly isQuiet: boolean
  readonly objects: readonly DeleteEntry[]
}

export type DeleteEntry = {
  readonly key: string
  readonly etag: string | undefined
  /** The entry names a version, which may only be 'null'. */
  readonly isVersioned: boolean
}

const partChecksums: Readonly<Record<string, ChecksumAlgorithm>> = {
  ChecksumCRC32: 'CRC32',
  ChecksumCRC32C: 'CRC32C',
  ChecksumCRC64NVME: 'CRC64NVME',
  ChecksumSHA1: 'SHA1',
  ChecksumSHA256: 'SHA256',
}

/** <CompleteMultipartUpload>: parts in the client's order, at least one, at most 10,000. */
export function readCompleteUpload(bytes: Uint8Array): readonly NamedPart[] {
  const root = parseXml(bytes, 'CompleteMultipartUpload')
  const parts = root.children.map(readPart)
  if (parts.length === 0 || parts.length > partCountMax) throw malformedXml()
  return parts
}

function readPart(element: Element): NamedPart {
  if (element.name !== 'Part') throw malformedXml()
  let number = Number.NaN
  let etag: string | undefined
  let checksum: string | undefined
  for (const child of element.children) {
    const value = child.text.trim()
    if (child.name === 'PartNumber') number = readNumber(value)
    else if (child.name === 'ETag') etag = unquote(value)
    else if (Object.hasOwn(partChecksums, child.name)) {
      if (checksum !== undefined) throw malformedXml()
      checksum = value
    } else throw malformedXml()
  }
  if (Number.isNaN(number) || etag === undefined) throw malformedXml()
  return checksum === undefined ? { number, etag } : { number, etag, checksum }
}

/** <Delete>: at least one object, at most 1,000. Keys keep their white space. */
export function readDelete(bytes: Uint8Array): DeleteOrder {
  const root = parseXml(bytes, 'Delete')
  let isQuiet = false
  const objects: DeleteEntry[] = []
  for (const child of root.children) {
    if (child.name === 'Quiet') isQuiet = readBoolean(child.text)
    else if (child.name === 'Object') objects.push(readDeleteEntry(child))
    else throw malformedXml()
  }
  if (objects.length === 0 || objects.length > deleteCountMax) throw malformedXml()
  return { isQuiet, objects }
}

function readDeleteEntry(element: Element): DeleteEntry {
  let key: string | undefined
  let etag: string | undefined
  let isVersioned = false
  for (const child of element.children) {
    if (child.name === 'Key') key = child.text
    else if (child.name === 'ETag') etag = unquote(child.text.trim())
    else if (child.name === 'VersionId') {
      const version = child.text.trim()
      if (version !== '' && version !== 'null') {
        throw notImplemented('Versioning is not implemented: a VersionId cannot be deleted.')
      }
      isVersioned ||= version !== ''
    } else if (child.name === 'LastModifiedTime' || child.name === 'Size') {
      throw notImplemented(`The delete condition ${child.name} is not implemented.`)
    } else throw malformedXml()
  }
  if (key === undefined || key === '') throw malformedXml()
  return { key, etag, isVersioned }
}

/** <CreateBucketConfiguration>: the location constraint, undefined when there is none. */
export function readCreateBucket(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined
  const root = parseXml(bytes, 'CreateBucketConfiguration')
  let location: string | undefined
  for (const child of root.children) {
    if (child.name === 'LocationConstraint') location = child.text.trim()
    else if (child.name === 'Tags' && child.children.length === 0) continue
    else if (child.name === 'Location' || child.name === 'Bucket' || child.name === 'Tags') {
      throw notImplemented(`The bucket configuration ${child.name} is not implemented.`)
    } else throw malformedXml()
  }
  return location === '' ? undefined : location
}

/** An ETag as clients write it, with or without quotes. */
export function unquote(etag: string): string {
  return etag.length >= 2 && etag.startsWith('"') && etag.endsWith('"') ? etag.slice(1, -1) : etag
}

function readNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw malformedXml()
  return Number(text)
}

function readBoolean(text: string): boolean {
  const value = text.trim().toLowerCase()
  if (value !== 'true' && value !== 'false') throw malformedXml()
  return value === 'true'
}

/** The tree below a root element of this name. */
function parseXml(bytes: Uint8Array, rootName: string): Element {
  const text = strictUtf8(bytes)
  if (text === undefined) throw malformedXml()
  const parser = new SaxesParser({ xmlns: false, position: false })
  const top: Element = { name: '', children: [], text: '' }
  const stack: Element[] = [top]
  let count = 0
  parser.on('error', () => {
    throw malformedXml()
  })
  parser.on('doctype', () => {
    throw malformedXml()
  })
  parser.on('opentag', (tag) => {
    if (stack.length > depthMax || ++count > elementsMax) throw malformedXml()
    const element: Element = { name: localName(tag.name), children: [], text: '' }
    stack.at(-1)?.children.push(element)
    stack.push(element)
  })
  const addText = (part: string): void => {
    const element = stack.at(-1)
    if (element !== undefined) element.text += part
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => {
    stack.pop()
  })
  parser.write(text.startsWith('\ufeff') ? text.slice(1) : text).close()
  const root = top.children[0]
  if (root === undefined || root.name !== rootName) throw malformedXml()
  return root
}

function localName(name: string): string {
  const colon = name.indexOf(':')
  return colon < 0 ? name : name.slice(colon + 1)
}
