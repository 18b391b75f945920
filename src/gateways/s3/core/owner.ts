// Who owns what: the cluster, until there are tenants. Clients only compare and print these.

import type { XmlWriter } from './xml.ts'

export function writeOwner(xml: XmlWriter, name: 'Owner' | 'Initiator', clusterId: string): void {
  xml.open(name).text('ID', clusterId).text('DisplayName', 'atoll').close(name)
}
