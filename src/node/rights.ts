// What the admin server of a node has of rights: who may use it, where acts are entered, and the routes that change
// them.

import { type Access, firstTenant, openAccess } from '../access/index.ts'
import { Fault } from '../base/index.ts'
import type { Cluster, EnrolmentDesk } from '../cluster/index.ts'
import {
  type AdminRoute,
  accessRoutes,
  type Authorise,
  createAuthority,
  type EnterAct,
} from '../gateways/admin/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'

export type Rights = {
  readonly access: Access
  readonly authorise: Authorise
  readonly enter: EnterAct
  readonly routes: readonly AdminRoute[]
}

/** `token` is the data directory's: the operator's. */
export function openRights(
  {
    host,
    system,
    cluster,
    desk,
  }: {
    host: Host
    system: Keyspace
    cluster: Cluster
    /** Undefined where members have no certificates. */
    desk: Pick<EnrolmentDesk, 'certifyClient'> | undefined
  },
  token: string,
): Rights {
  const access = openAccess({ host, system })
  const hasBuckets = async (tenant: string): Promise<boolean> => {
    const buckets = await cluster.admin.listBuckets()
    return buckets.some((bucket) => (bucket.tenant || firstTenant) === tenant)
  }
  const read = (certificatePem: string) => host.pki.readCertificate(certificatePem)
  const certify = async (client: Parameters<EnrolmentDesk['certifyClient']>[0]) => {
    if (desk !== undefined) return await desk.certifyClient(client)
    throw new Fault('unsupported', 'this cluster has no authority that could sign a certificate', {
      next: 'send "certificate" instead of "request": one that was made elsewhere',
    })
  }
  return {
    access,
    authorise: createAuthority({ token, access }),
    enter: (by, act) => access.admin.recordAct(by, act),
    routes: accessRoutes({ access, hasBuckets, certificates: { read, certify } }),
  }
}
