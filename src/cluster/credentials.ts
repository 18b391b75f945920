// A node's certificates and keys: written so that a stop at any point leaves a pair that fits, and renewed.
//
// A key and its certificate are two files, because people and programs expect them so. The order is: the new key under
// another name, the new certificate over the old one, the new key over the old one. Whoever reads takes the key
// that fits the certificate (the command does, at start).

import { type ClusterId, Fault, type NodeId, utf8Encode } from '../base/index.ts'
import type { Host, NodeIdentity, PemPair } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { configDefaults } from './core/cluster-config.ts'
import { authorityCodec, authorityKey, configCodec, configKey } from './core/enrolment-records.ts'
import { identityFiles } from './core/identity-files.ts'
import { clusterCodec, clusterKey, memberCodec, memberKey } from './core/records.ts'
import { requireSealKey } from './core/sealing.ts'
import type { RenewAnswer, RenewRequest } from './enrolment.ts'
import { issueCertificates } from './issuing.ts'
import { openAuthority, signingEntry, trustedPem } from './trust-state.ts'

/** What a node shows of itself: to its peers, and to people and programs. */
export type Credentials = { readonly identity: NodeIdentity; readonly serverTls: PemPair }

/** Makes new keys, has `ask` certify them, and puts everything on disk. */
export async function renewCredentials(
  { host, self }: { readonly host: Pick<Host, 'pki' | 'disk' | 'clock'>; readonly self: NodeId },
  clusterId: ClusterId,
  ask: (request: RenewRequest) => Promise<RenewAnswer>,
): Promise<Credentials> {
  const { pki, disk, clock } = host
  const node = await pki.makeRequest(`node-${self}`)
  const server = await pki.makeRequest(`node-${self} servers`)
  const answer = await ask({ nodeRequestPem: node.requestPem, serverRequestPem: server.requestPem })
  const { nodeCertificatePem, serverCertificatePem, authorityPem } = answer
  for (const [certificatePem, requestPem] of [
    [nodeCertificatePem, node.requestPem],
    [serverCertificatePem, server.requestPem],
  ] as const) {
    const { keyHash } = await pki.verify(certificatePem, { authorityPem, atMs: clock.wallMs() })
    if (keyHash !== (await pki.readRequest(requestPem)).keyHash) {
      throw new Fault('corrupt', 'the certificate is for another key')
    }
  }
  const credentials: Credentials = {
    identity: {
      nodeId: self,
      clusterId,
      authorityPem,
      certificatePem: nodeCertificatePem,
      privateKeyPem: node.privateKeyPem,
    },
    serverTls: { certificatePem: serverCertificatePem, privateKeyPem: server.privateKeyPem },
  }
  await writeCredentials(disk, credentials)
  return credentials
}

async function writeCredentials(disk: Host['disk'], credentials: Credentials): Promise<void> {
  const { identity, serverTls } = credentials
  const files = identityFiles
  await disk.replace(files.authorityCertificate, utf8Encode(identity.authorityPem))
  for (const [pair, names] of [
    [identity, [files.privateKeyNext, files.certificate, files.privateKey]],
    [serverTls, [files.serverKeyNext, files.serverCertificate, files.serverKey]],
  ] as const) {
    const [keyNext, certificate, key] = names
    await disk.replace(keyNext, utf8Encode(pair.privateKeyPem))
    await disk.replace(certificate, utf8Encode(pair.certificatePem))
    await disk.rename(keyNext, key)
  }
  await disk.syncDirectory('identity')
}

/**
 * For a node that has slept past the end of its certificate: a member that has the seal key certifies itself from what
 * its own replica holds, before it talks to anybody. Undefined where that cannot be. Without it a cluster that
 * was switched off for longer than a certificate lives could never start again.
 */
export async function certifyOneself(
  {
    host,
    system,
    self,
  }: {
    readonly host: Pick<Host, 'pki' | 'disk' | 'clock'>
    readonly system: Keyspace
    readonly self: NodeId
  },
  sealKey: Uint8Array,
): Promise<Credentials | undefined> {
  const read = async (key: Uint8Array) =>
    (await system.range({ key, isSerializable: true })).kvs[0]?.value
  const [configValue, authorityValue, memberValue, clusterValue] = [
    await read(configKey),
    await read(authorityKey),
    await read(memberKey(self)),
    await read(clusterKey),
  ]
  if (authorityValue === undefined || memberValue === undefined || clusterValue === undefined) {
    return undefined
  }
  const authority = authorityCodec.decode(authorityValue)
  const member = memberCodec.decode(memberValue)
  const { clusterId } = clusterCodec.decode(clusterValue)
  if (member.state === 'removed') return undefined
  requireSealKey(sealKey, authority.sealCheck)
  const entry = signingEntry(authority)
  const config = configValue === undefined ? configDefaults : configCodec.decode(configValue).config
  return await renewCredentials({ host, self }, clusterId, async (requests) => {
    const { nodeCertificatePem, serverCertificatePem } = await issueCertificates(host, member, {
      clusterId,
      authority: openAuthority(entry, sealKey),
      entry,
      requests,
      certificateMs: config.certificateSeconds * 1000,
    })
    return { nodeCertificatePem, serverCertificatePem, authorityPem: trustedPem(authority) }
  })
}
