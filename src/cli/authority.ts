// The cluster's certificate authority: made at first start, kept in the launcher's directory, never
// copied to a node. It signs two kinds of certificate, both EC P-256:
//
//   node     proves a member to its peers: SAN URI atoll://<clusterId>/node/<id> and its address;
//            for both ends of a connection (client and server authentication).
//   server   proves the admin API and S3 over TLS to people and programs: addresses and 'localhost'.
//
// They are written here, byte by byte (RFC 5280), because a library for it would take a quarter of the
// time of the first start.
//
// An identity that was removed keeps a valid certificate; its peers refuse its id (the member list).

import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto'
import {
  assert,
  type ClusterId,
  equalBytes,
  Fault,
  type NodeId,
  sha256,
  utf8Encode,
} from '../base/index.ts'
import {
  addressBytes,
  bitString,
  contentOf,
  contextTag,
  objectId,
  partsOf,
  sequence,
  tag,
  time,
  utf8String,
  value,
} from './der.ts'

export type PemPair = { readonly certificatePem: string; readonly privateKeyPem: string }

const dayMs = 86_400_000
const authorityDays = 3_650
/** A leaf never outlives its authority: each is bounded by what is left of it. */
const leafDays = 1_825

const oid = {
  commonName: objectId('2.5.4.3'),
  ecdsaWithSha256: objectId('1.2.840.10045.4.3.2'),
  subjectKeyIdentifier: objectId('2.5.29.14'),
  authorityKeyIdentifier: objectId('2.5.29.35'),
  keyUsage: objectId('2.5.29.15'),
  subjectAltName: objectId('2.5.29.17'),
  basicConstraints: objectId('2.5.29.19'),
  extendedKeyUsage: objectId('2.5.29.37'),
  serverAuth: objectId('1.3.6.1.5.5.7.3.1'),
  clientAuth: objectId('1.3.6.1.5.5.7.3.2'),
}
const signatureAlgorithm = sequence(oid.ecdsaWithSha256)

export function makeAuthority(clusterId: ClusterId): PemPair {
  const { privateKey, publicKey } = makeKeys()
  const subject = nameOf(`Atoll cluster ${clusterId}`)
  const isTrue = value(tag.boolean, Uint8Array.of(0xff))
  const noFurther = value(tag.integer, Uint8Array.of(0))
  // keyCertSign and cRLSign: bits 5 and 6.
  const usage = bitString(Uint8Array.of(0x06), 7)
  const identifier = value(tag.octetString, sha256(publicKey).subarray(0, 20))
  const now = Date.now()
  return issue(
    {
      issuer: subject,
      subject,
      notBefore: new Date(now - dayMs),
      notAfter: new Date(now + authorityDays * dayMs),
      publicKey,
      extensions: [
        extension(oid.basicConstraints, sequence(isTrue, noFurther), 'critical'),
        extension(oid.keyUsage, usage, 'critical'),
        extension(oid.subjectKeyIdentifier, identifier),
      ],
    },
    { signer: privateKey, privateKey },
  )
}

export function issueNodeCertificate(
  authority: PemPair,
  subject: { readonly clusterId: ClusterId; readonly id: NodeId; readonly host: string },
): PemPair {
  const { clusterId, id, host } = subject
  const identity = value(contextTag(6, false), utf8Encode(`atoll://${clusterId}/node/${id}`))
  const names = [identity, addressName(host)]
  return issueLeaf(authority, { commonName: `node-${id}`, names, isClient: true })
}

export function issueServerCertificate(
  authority: PemPair,
  subject: { readonly id: NodeId; readonly hosts: readonly string[] },
): PemPair {
  const names = [...new Set([...subject.hosts, 'localhost'])].map(addressName)
  return issueLeaf(authority, { commonName: `node-${subject.id} servers`, names, isClient: false })
}

type Leaf = {
  readonly commonName: string
  readonly names: readonly Uint8Array[]
  readonly isClient: boolean
}

function issueLeaf(authority: PemPair, leaf: Leaf): PemPair {
  const issuer = new X509Certificate(authority.certificatePem)
  const { privateKey, publicKey } = makeKeys()
  const usages = leaf.isClient ? [oid.serverAuth, oid.clientAuth] : [oid.serverAuth]
  const now = Date.now()
  const endMs = Math.min(now + leafDays * dayMs, issuer.validToDate.getTime())
  return issue(
    {
      issuer: subjectOf(issuer),
      subject: nameOf(leaf.commonName),
      notBefore: new Date(now - dayMs),
      notAfter: new Date(endMs),
      publicKey,
      extensions: [
        extension(oid.basicConstraints, sequence(), 'critical'),
        // digitalSignature: bit 0.
        extension(oid.keyUsage, bitString(Uint8Array.of(0x80), 1), 'critical'),
        extension(oid.extendedKeyUsage, sequence(...usages)),
        extension(oid.subjectAltName, sequence(...leaf.names)),
        extension(oid.authorityKeyIdentifier, sequence(keyIdentifierOf(issuer))),
      ],
    },
    { signer: createPrivateKey(authority.privateKeyPem), privateKey },
  )
}

type Content = {
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly extensions: readonly Uint8Array[]
}

function issue(
  content: Content,
  { signer, privateKey }: { readonly signer: KeyObject; readonly privateKey: KeyObject },
): PemPair {
  const version3 = value(contextTag(0, true), value(tag.integer, Uint8Array.of(2)))
  const signed = sequence(
    version3,
    value(tag.integer, serialNumber()),
    signatureAlgorithm,
    content.issuer,
    sequence(time(content.notBefore), time(content.notAfter)),
    content.subject,
    content.publicKey,
    value(contextTag(3, true), sequence(...content.extensions)),
  )
  const certificate = sequence(
    signed,
    signatureAlgorithm,
    bitString(sign('sha256', signed, signer)),
  )
  return {
    certificatePem: new X509Certificate(certificate).toString(),
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}

function extension(id: Uint8Array, content: Uint8Array, isCritical?: 'critical'): Uint8Array {
  const critical = isCritical === undefined ? [] : [value(tag.boolean, Uint8Array.of(0xff))]
  return sequence(id, ...critical, value(tag.octetString, content))
}

function nameOf(commonName: string): Uint8Array {
  return sequence(value(tag.set, sequence(oid.commonName, utf8String(commonName))))
}

/** The issuer's identifier, in the form in which a leaf refers to it. */
function keyIdentifierOf(issuer: X509Certificate): Uint8Array {
  const [signed = issuer.raw] = partsOf(issuer.raw)
  const [extensions = signed] = partsOf(partsOf(signed)[7] ?? signed)
  for (const one of partsOf(extensions)) {
    const [id, content] = partsOf(one)
    if (id === undefined || content === undefined) continue
    if (!equalBytes(id, oid.subjectKeyIdentifier)) continue
    const identifier = contentOf(contentOf(content))
    return value(contextTag(0, false), identifier)
  }
  throw new Fault('corrupt', 'the certificate of the authority has no key identifier')
}

/** As the bytes that the certificate has: a name is compared byte by byte. */
function subjectOf(certificate: X509Certificate): Uint8Array {
  const [signed = certificate.raw] = partsOf(certificate.raw)
  const subject = partsOf(signed)[5]
  assert(subject !== undefined, 'a certificate has a subject')
  return subject
}

function addressName(host: string): Uint8Array {
  const isIp = /^[0-9.]+$/.test(host) || host.includes(':')
  if (isIp) return value(contextTag(7, false), addressBytes(host))
  return value(contextTag(2, false), utf8Encode(host))
}

/** Positive and 127 bits long, so that its DER form never needs a leading zero. */
function serialNumber(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

function makeKeys(): { readonly privateKey: KeyObject; readonly publicKey: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, publicKey: publicKey.export({ format: 'der', type: 'spki' }) }
}
