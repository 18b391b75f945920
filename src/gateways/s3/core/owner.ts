// Who owns what: a tenant; the first one goes by the cluster's id. Clients only compare and print these.

import { firstTenant } from '../../../access/index.ts'
import type { XmlWriter } from './xml.ts'

export type Owner = { readonly id: string; readonly name: string }

export function ownerName(tenant: string, clusterId: string): Owner {
  return tenant === firstTenant ? { id: clusterId, name: 'atoll' } : { id: tenant, name: tenant }
}

export function writeOwner(xml: XmlWriter, name: 'Owner' | 'Initiator', owner: Owner): void {
  xml.open(name).text('ID', owner.id).text('DisplayName', owner.name).close(name)
}
