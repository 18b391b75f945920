// The certificate authority of a cluster on one machine: made at first start, kept in the launcher's directory. It
// signs two kinds of certificate:
//
//   node     proves a member to its peers: SAN URI atoll://<clusterId>/node/<id> and its address;
//            for both ends of a connection (client and server authentication).
//   server   proves the admin API and S3 over TLS to people and programs: addresses and 'localhost'. The authority's
//            own certificate follows it, so that whoever has a token's pin finds it in the chain.
//
// An identity that was removed keeps a valid certificate; its peers refuse its id (the member list).

import type { ClusterId, NodeId } from '../base/index.ts'
import { authorityName, nodeUri } from '../cluster/index.ts'
import type { PemPair, Pki } from '../host/index.ts'
import { realPki } from '../host/real/index.ts'

const dayMs = 86_400_000
const authorityDays = 3_650
/** Of what the launcher signs; what the cluster itself renews lives shorter. */
const leafDays = 1_825

export type { PemPair }

export function makeAuthority(clusterId: ClusterId): Promise<PemPair> {
  return realPki.makeAuthority({
    subjectName: authorityName(clusterId),
    ...validity(authorityDays),
  })
}

export async function issueNodeCertificate(
  authority: PemPair,
  subject: { readonly clusterId: ClusterId; readonly id: NodeId; readonly host: string },
): Promise<PemPair> {
  const { clusterId, id, host } = subject
  return await issue(authority, {
    subjectName: `node-${id}`,
    uris: [nodeUri(clusterId, id)],
    hosts: [host],
    usage: 'node',
  })
}

export async function issueServerCertificate(
  authority: PemPair,
  subject: { readonly id: NodeId; readonly hosts: readonly string[] },
): Promise<PemPair> {
  const { certificatePem, privateKeyPem } = await issue(authority, {
    subjectName: `node-${subject.id} servers`,
    uris: [],
    hosts: [...new Set([...subject.hosts, 'localhost'])],
    usage: 'server',
  })
  return { certificatePem: `${certificatePem}${authority.certificatePem}`, privateKeyPem }
}

type Leaf = Omit<Parameters<Pki['issue']>[1], 'requestPem' | 'notBeforeMs' | 'notAfterMs'>

async function issue(authority: PemPair, leaf: Leaf): Promise<PemPair> {
  const { requestPem, privateKeyPem } = await realPki.makeRequest(leaf.subjectName)
  const certificatePem = await realPki.issue(authority, {
    ...leaf,
    ...validity(leafDays),
    requestPem,
  })
  return { certificatePem, privateKeyPem }
}

function validity(days: number): { readonly notBeforeMs: number; readonly notAfterMs: number } {
  const nowMs = Date.now()
  return { notBeforeMs: nowMs - dayMs, notAfterMs: nowMs + days * dayMs }
}
