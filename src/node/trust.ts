// Wiring of a node's part in the cluster's trust: who shows its certificates, and what its desk hands out.

import {
  followMembers,
  isSameTopology,
  MemberTrust,
  programVersion,
  renderTopology,
} from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { NodeConfig } from './config.ts'
import type { ShownCredentials } from './shown.ts'

export type NodeTrustParts = {
  readonly config: NodeConfig
  readonly host: Host
  readonly system: Keyspace
  readonly rpc: Rpc
  readonly shown: ShownCredentials
  readonly isLeader: () => boolean
}

/** Undefined where members are not told apart by certificates. Before the consensus port listens. */
export function createTrust(parts: NodeTrustParts): MemberTrust | undefined {
  const { config, host, system, rpc, shown, isLeader } = parts
  const { enrolment, identity, serverTls, topology, self } = config
  if (enrolment === undefined) return undefined
  return new MemberTrust(
    { host, system, rpc, isLeader },
    {
      self,
      credentials: { identity, serverTls },
      settings: enrolment,
      version: programVersion,
      topology,
      // Byte for byte the file that is here, as long as it says all that there is.
      topologyText(members) {
        const now = followMembers(topology, members)
        const isAsHere = isSameTopology(now, topology) && enrolment.topologyText !== ''
        return isAsHere ? enrolment.topologyText : renderTopology(now)
      },
      onCredentials: (credentials) => shown.show(credentials),
    },
  )
}
