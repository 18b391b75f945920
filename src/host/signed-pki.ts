// Certificates for worlds without X.509 (the simulator): a PEM-like block around JSON that an Ed25519 key signed. Not
// a toy where it counts: who lacks the authority's key cannot make a certificate that verify() takes, and a
// request proves its key. All keys come from the generator at hand, so that a seed gives the same world again.

import {
  ed25519Pair,
  ed25519Sign,
  ed25519Verify,
  Fault,
  fromHex,
  type Random,
  sha256,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Certificate, Pki } from './host.ts'

type Body = {
  readonly serial: string
  readonly subjectName: string
  readonly uris: readonly string[]
  readonly hosts: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly isAuthority: boolean
  readonly publicKey: string
}
type Request = { readonly subjectName: string; readonly publicKey: string }

const textMax = 64 * 1024

export function createSignedPki(random: Random): Pki {
  const drawKey = (): string => toHex(random.bytes(32))
  const drawSerial = (): string => `1${toHex(random.bytes(8))}`
  return {
    async makeAuthority(subject) {
      const privateKey = drawKey()
      const body: Body = {
        ...subject,
        serial: drawSerial(),
        uris: [],
        hosts: [],
        isAuthority: true,
        publicKey: publicOf(privateKey),
      }
      return {
        certificatePem: seal('CERTIFICATE', body, privateKey),
        privateKeyPem: block('PRIVATE KEY', privateKey),
      }
    },
    async makeRequest(subjectName) {
      const privateKey = drawKey()
      const body: Request = { subjectName, publicKey: publicOf(privateKey) }
      return {
        requestPem: seal('CERTIFICATE REQUEST', body, privateKey),
        privateKeyPem: block('PRIVATE KEY', privateKey),
      }
    },
    async readRequest(requestPem) {
      const { subjectName, publicKey } = readRequest(requestPem)
      return { subjectName, keyHash: hashOf(publicKey) }
    },
    async sign(privateKeyPem, bytes) {
      return ed25519Sign(ed25519Pair(unhex(unblock('PRIVATE KEY', privateKeyPem))), bytes)
    },
    async isSignedBy(requestPem, { bytes, signature }) {
      return ed25519Verify(unhex(readRequest(requestPem).publicKey), bytes, signature)
    },
    async issue(authority, leaf) {
      const { publicKey } = readRequest(leaf.requestPem)
      const { body: issuer } = open<Body>('CERTIFICATE', authority.certificatePem)
      const { subjectName, uris, hosts, notBeforeMs } = leaf
      const notAfterMs = Math.min(leaf.notAfterMs, issuer.notAfterMs)
      const names = { subjectName, uris, hosts }
      const body: Body = {
        ...names,
        serial: drawSerial(),
        notBeforeMs,
        notAfterMs,
        isAuthority: false,
        publicKey,
      }
      return seal('CERTIFICATE', body, unblock('PRIVATE KEY', authority.privateKeyPem))
    },
    async readCertificate(certificatePem) {
      return describe(open<Body>('CERTIFICATE', certificatePem))
    },
    async verify(certificatePem, { authorityPem, atMs }) {
      const leaf = open<Body>('CERTIFICATE', certificatePem)
      const issuer = splitBlocks(authorityPem)
        .map((pem) => open<Body>('CERTIFICATE', pem).body)
        .find((body) => body.isAuthority && isSealedBy(leaf, body.publicKey))
      if (issuer === undefined) {
        throw new Fault('unauthenticated', 'the certificate is of another authority')
      }
      for (const { notBeforeMs, notAfterMs } of [leaf.body, issuer]) {
        if (atMs < notBeforeMs) {
          throw new Fault('unauthenticated', 'the certificate is not valid yet')
        }
        if (atMs >= notAfterMs) throw new Fault('unauthenticated', 'the certificate has expired')
      }
      return describe(leaf)
    },
  }
}

type Opened<T> = { readonly body: T; readonly text: string; readonly signature: Uint8Array }

function describe({ body, text }: Opened<Body>): Certificate {
  const { publicKey, ...rest } = body
  return { ...rest, keyHash: hashOf(publicKey), hash: toHex(sha256(text)) }
}

function readRequest(requestPem: string): Request {
  const opened = open<Request>('CERTIFICATE REQUEST', requestPem)
  if (isSealedBy(opened, opened.body.publicKey)) return opened.body
  throw new Fault('invalid', 'the certificate request does not prove its key')
}

function isSealedBy(opened: Opened<unknown>, publicKey: string): boolean {
  return ed25519Verify(unhex(publicKey), utf8Encode(opened.text), opened.signature)
}

function seal(label: string, body: unknown, privateKey: string): string {
  const text = JSON.stringify(body)
  const signature = ed25519Sign(ed25519Pair(unhex(privateKey)), utf8Encode(text))
  return block(label, `${toHex(utf8Encode(text))}\n${toHex(signature)}`)
}

function open<T extends { readonly publicKey: string }>(label: string, pem: string): Opened<T> {
  const [text = '', signature = ''] = unblock(label, pem).split('\n')
  try {
    const plain = utf8Decode(unhex(text))
    const body = JSON.parse(plain) as T
    if (typeof body.publicKey === 'string')
      return { body, text: plain, signature: unhex(signature) }
  } catch (error) {
    throw new Fault('invalid', `this is no ${label.toLowerCase()}`, { cause: error })
  }
  throw new Fault('invalid', `this is no ${label.toLowerCase()}`)
}

function publicOf(privateKey: string): string {
  return toHex(ed25519Pair(unhex(privateKey)).publicKey)
}

function hashOf(publicKey: string): string {
  return toHex(sha256(unhex(publicKey)))
}

function block(label: string, content: string): string {
  return `-----BEGIN ${label}-----\n${content}\n-----END ${label}-----\n`
}

/** What the first block of this label holds. */
function unblock(label: string, pem: string): string {
  const begin = `-----BEGIN ${label}-----\n`
  const start = pem.length > textMax ? -1 : pem.indexOf(begin)
  const end = start < 0 ? -1 : pem.indexOf(`\n-----END ${label}-----`, start)
  if (end < 0) throw new Fault('invalid', `this is no ${label.toLowerCase()} in PEM`)
  return pem.slice(start + begin.length, end)
}

function splitBlocks(pem: string): readonly string[] {
  return pem.split(/(?<=-----END CERTIFICATE-----\n)/).filter((piece) => piece.trim() !== '')
}

function unhex(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw new Fault('invalid', 'not hexadecimal')
  return bytes
}
