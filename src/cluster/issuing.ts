// Certificates for members: what they say, how long they live, and the record of them.

import { Fault } from '../base/index.ts'
import type { Host, PemPair } from '../host/index.ts'
import type { Member } from './cluster.ts'
import type { AuthorityEntry, CertificateRecord } from './core/enrolment-records.ts'
import { nodeUri } from './core/identity-names.ts'
import type { RenewRequest } from './enrolment.ts'
import { pinOf } from './trust-state.ts'

/** Clocks of members may differ; a certificate is valid from before it was made. */
export const backdatedMs = 86_400_000

export type Issued = {
  readonly nodeCertificatePem: string
  /** Followed by the authority's. */
  readonly serverCertificatePem: string
  readonly record: CertificateRecord
}

/** Both certificates of a member, for the keys of its requests. Fault 'invalid' for requests that prove nothing. */
export async function issueCertificates(
  { pki, clock }: Pick<Host, 'pki' | 'clock'>,
  member: Member,
  given: {
    readonly clusterId: Parameters<typeof nodeUri>[0]
    readonly authority: PemPair
    readonly entry: AuthorityEntry
    readonly requests: RenewRequest
    readonly certificateMs: number
  },
): Promise<Issued> {
  const { clusterId, authority, entry, requests, certificateMs } = given
  const { control, bulk, admin, s3, id } = member
  const nowMs = Math.floor(clock.wallMs())
  const validity = { notBeforeMs: nowMs - backdatedMs, notAfterMs: nowMs + certificateMs }
  if (entry.notAfterMs <= nowMs) {
    throw new Fault('precondition', "the cluster's authority has expired", {
      next: 'rotate it: `atoll admin authority add`, then issue, then drop',
    })
  }
  const own = await pki.issue(authority, {
    subjectName: `node-${id}`,
    uris: [nodeUri(clusterId, id)],
    hosts: hostsOf({ control, bulk }),
    usage: 'node',
    requestPem: requests.nodeRequestPem,
    ...validity,
  })
  const server = await pki.issue(authority, {
    subjectName: `node-${id} servers`,
    uris: [],
    hosts: distinct([admin.host, s3.host, control.host, 'localhost']),
    usage: 'server',
    requestPem: requests.serverRequestPem,
    ...validity,
  })
  const described = await pki.readCertificate(own)
  const { serial: serverSerial } = await pki.readCertificate(server)
  const { serial, notAfterMs } = described
  const authorityPin = pinOf(entry)
  return {
    nodeCertificatePem: own,
    serverCertificatePem: `${server}${authority.certificatePem}`,
    record: { member: id, serial, serverSerial, authorityPin, issuedMs: nowMs, notAfterMs },
  }
}

/** Where its peers find it, as its certificate says it. */
export function hostsOf({ control, bulk }: Pick<Member, 'control' | 'bulk'>): readonly string[] {
  return distinct([control.host, bulk.host])
}

/** Addresses that every machine has name nobody. */
function distinct(hosts: readonly string[]): readonly string[] {
  return [...new Set(hosts)].filter((host) => host !== '0.0.0.0' && host !== '::' && host !== '')
}
