// Making authorities and requests, reading requests, issuing certificates: what needs a library that writes X.509.
// Loaded by pki.ts on first use; the library wants reflect-metadata before it.

import 'reflect-metadata'
import { createHash, type webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { Fault, toHex } from '../../base/index.ts'
import type { CertificateLeaf, CertificateRequest, PemPair, Pki } from '../host.ts'

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const
const signing = { name: 'ECDSA', hash: 'SHA-256' } as const
const requestCharsMax = 16 * 1024
const subjectCharsMax = 64

export async function makeAuthority(subject: {
  readonly subjectName: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}): Promise<PemPair> {
  const keys = await makeKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: nameOf(subject.subjectName),
    notBefore: new Date(subject.notBeforeMs),
    notAfter: new Date(subject.notAfterMs),
    signingAlgorithm: signing,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: await exportKey(keys.privateKey),
  }
}

export async function makeRequest(subjectName: string): Promise<CertificateRequest> {
  const keys = await makeKeys()
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: nameOf(subjectName),
    keys,
    signingAlgorithm: signing,
  })
  return {
    requestPem: `${request.toString('pem')}\n`,
    privateKeyPem: await exportKey(keys.privateKey),
  }
}

export async function readRequest(
  requestPem: string,
): Promise<{ readonly subjectName: string; readonly keyHash: string }> {
  const request = await parseRequest(requestPem)
  const subjectName = request.subjectName.getField('CN')[0] ?? ''
  return { subjectName, keyHash: keyHashOf(request) }
}

export const isSignedBy: Pki['isSignedBy'] = async (requestPem, { bytes, signature }) => {
  const request = await parseRequest(requestPem)
  const raw = rawSignature(signature)
  if (raw === undefined) return false
  const key = await request.publicKey.export(keyAlgorithm, ['verify'])
  return await crypto.subtle.verify(signing, key, raw, Uint8Array.from(bytes))
}

export const sign: Pki['sign'] = async (privateKeyPem, bytes) => {
  const key = await importPrivateKey(privateKeyPem)
  const raw = await crypto.subtle.sign(signing, key, Uint8Array.from(bytes))
  return new Uint8Array(raw)
}

export const issue: Pki['issue'] = async (authority, leaf) => {
  const { requestPem, notBeforeMs, notAfterMs } = leaf
  const { publicKey } = await parseRequest(requestPem)
  const issuer = new X509Certificate(authority.certificatePem)
  const signingKey = await importPrivateKey(authority.privateKeyPem)
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: nameOf(leaf.subjectName),
    issuer: issuer.subject,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(Math.min(notAfterMs, issuer.notAfter.getTime())),
    signingAlgorithm: signing,
    publicKey,
    signingKey,
    extensions: await leafExtensions(leaf, issuer),
  })
  return `${certificate.toString('pem')}\n`
}

async function leafExtensions(
  leaf: CertificateLeaf,
  issuer: X509Certificate,
): Promise<Extension[]> {
  const { serverAuth, clientAuth } = ExtendedKeyUsage
  const usages = {
    node: [serverAuth, clientAuth],
    server: [serverAuth],
    client: [clientAuth],
  }[leaf.usage]
  const names = [
    ...leaf.uris.map((value) => ({ type: 'url' as const, value })),
    ...leaf.hosts.map(hostName),
  ]
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension(names),
    // Strict verifiers want to know which key of the authority signed.
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ]
}

/** RFC 1123: letters, digits, hyphens and dots; no wildcards. */
const hostPattern = /^(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*$/

function hostName(host: string): { readonly type: 'ip' | 'dns'; readonly value: string } {
  if (isIP(host) !== 0 && !host.includes('%')) return { type: 'ip', value: host }
  const isName = host.length <= 253 && hostPattern.test(host) && !/^[0-9.]+$/.test(host)
  if (isName) return { type: 'dns', value: host }
  throw new Fault('invalid', `${host.slice(0, 64)} is neither an address nor a name of a host`)
}

function nameOf(subjectName: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9 ._-]*$/.test(subjectName) && subjectName.length <= subjectCharsMax) {
    return `CN=${subjectName}`
  }
  throw new Fault('invalid', 'a certificate is for a name of letters, digits and . _ -')
}

async function parseRequest(requestPem: string): Promise<Pkcs10CertificateRequest> {
  const der = derOf(requestPem)
  try {
    const request = new Pkcs10CertificateRequest(der)
    const { name, namedCurve } = request.publicKey.algorithm as {
      readonly name?: string
      readonly namedCurve?: string
    }
    const isOurs = name === 'ECDSA' && namedCurve === 'P-256'
    if (isOurs && (await request.verify())) return request
  } catch (error) {
    throw new Fault('invalid', 'this is no certificate request', { cause: error })
  }
  throw new Fault('invalid', 'the certificate request does not prove a P-256 key')
}

function derOf(requestPem: string): Uint8Array<ArrayBuffer> {
  const pattern =
    /^\s*-----BEGIN CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE REQUEST-----\s*$/
  const body = requestPem.length <= requestCharsMax ? pattern.exec(requestPem)?.[1] : undefined
  if (body === undefined) throw new Fault('invalid', 'this is no certificate request in PEM')
  return Uint8Array.from(Buffer.from(body, 'base64'))
}

function keyHashOf(request: Pkcs10CertificateRequest): string {
  return createHash('sha256').update(new Uint8Array(request.publicKey.rawData)).digest('hex')
}

const signatureBytes = 64

/** The two numbers of 32 bytes each; anything else is no signature of P-256. */
function rawSignature(signature: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  return signature.length === signatureBytes ? Uint8Array.from(signature) : undefined
}

/** Positive and 126 bits long, so that its DER form never needs a leading zero. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return toHex(bytes)
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await crypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

async function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  try {
    const der = PemConverter.decodeFirst(pem)
    return await crypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign'])
  } catch (error) {
    throw new Fault('invalid', 'this is no private key of P-256 in PEM', { cause: error })
  }
}
