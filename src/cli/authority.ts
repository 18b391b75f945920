// The cluster's certificate authority: made at first start, kept in the launcher's directory, never
// copied to a node. It signs two kinds of certificate, both EC P-256:
//
//   node     proves a member to its peers: SAN URI atoll://<clusterId>/node/<id> and its address;
//            for both ends of a connection (client and server authentication).
//   server   proves the admin API and S3 over TLS to people and programs: addresses and 'localhost'.
//
// An identity that was removed keeps a valid certificate; its peers refuse its id (the member list).

import 'reflect-metadata'
import type { webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { type ClusterId, type NodeId, toHex } from '../base/index.ts'

export type PemPair = { readonly certificatePem: string; readonly privateKeyPem: string }

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const
const signing = { name: 'ECDSA', hash: 'SHA-256' } as const
const dayMs = 86_400_000
const authorityDays = 3_650
/** A leaf never outlives its authority: each is bounded by what is left of it. */
const leafDays = 1_825

export async function makeAuthority(clusterId: ClusterId): Promise<PemPair> {
  const keys = await makeKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Atoll cluster ${clusterId}`,
    ...validity(authorityDays),
    signingAlgorithm: signing,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return exportPair(certificate, keys)
}

export function issueNodeCertificate(
  authority: PemPair,
  subject: { readonly clusterId: ClusterId; readonly id: NodeId; readonly host: string },
): Promise<PemPair> {
  const { clusterId, id, host } = subject
  const names = [
    { type: 'url' as const, value: `atoll://${clusterId}/node/${id}` },
    ...addressNames([host]),
  ]
  return issue(authority, { commonName: `node-${id}`, names, isClient: true })
}

export function issueServerCertificate(
  authority: PemPair,
  subject: { readonly id: NodeId; readonly hosts: readonly string[] },
): Promise<PemPair> {
  const names = addressNames([...new Set([...subject.hosts, 'localhost'])])
  return issue(authority, { commonName: `node-${subject.id} servers`, names, isClient: false })
}

type Leaf = {
  readonly commonName: string
  readonly names: ConstructorParameters<typeof SubjectAlternativeNameExtension>[0]
  readonly isClient: boolean
}

async function issue(authority: PemPair, leaf: Leaf): Promise<PemPair> {
  const issuer = new X509Certificate(authority.certificatePem)
  const signingKey = await importPrivateKey(authority.privateKeyPem)
  const keys = await makeKeys()
  const usages = leaf.isClient
    ? [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]
    : [ExtendedKeyUsage.serverAuth]
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension(leaf.names),
    // Strict verifiers want to know which key of the authority signed.
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ]
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${leaf.commonName}`,
    issuer: issuer.subject,
    ...validity(leafDays, issuer.notAfter),
    signingAlgorithm: signing,
    publicKey: keys.publicKey,
    signingKey,
    extensions,
  })
  return exportPair(certificate, keys)
}

function addressNames(hosts: readonly string[]): { type: 'ip' | 'dns'; value: string }[] {
  return hosts.map((host) => {
    const isIp = /^[0-9.]+$/.test(host) || host.includes(':')
    return { type: isIp ? 'ip' : 'dns', value: host }
  })
}

function validity(days: number, notAfterMax?: Date): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.now()
  const endMs = Math.min(nowMs + days * dayMs, notAfterMax?.getTime() ?? Number.POSITIVE_INFINITY)
  return { notBefore: new Date(nowMs - dayMs), notAfter: new Date(endMs) }
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

async function exportPair(
  certificate: X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): Promise<PemPair> {
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: `${PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
  }
}

async function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = PemConverter.decodeFirst(pem)
  return await crypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign'])
}
