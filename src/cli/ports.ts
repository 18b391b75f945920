// Addresses of a cluster on one machine: node i on 127.0.0.i with the table's ports where the system
// has those addresses, otherwise all on 127.0.0.1 with ports that shift by 100 per node.

import { createServer } from 'node:net'
import { Fault } from '../base/index.ts'
import { topologyDefaults } from '../cluster/index.ts'
import { reason, systemCode } from './files.ts'

export type PortPlan = {
  readonly control: number
  readonly bulk: number
  readonly admin: number
  readonly s3: number
  readonly s3Tls: number
}

/** What each port is for and which flag moves it: every message about a taken port says both. */
export const portUses: Readonly<Record<keyof PortPlan, { what: string; flag: string }>> = {
  control: { what: 'consensus and control between nodes', flag: '--control-port' },
  bulk: { what: 'bulk bytes between nodes', flag: '--bulk-port' },
  admin: { what: 'the admin API', flag: '--admin-port' },
  s3: { what: 'S3 over HTTP', flag: '--s3-port' },
  s3Tls: { what: 'S3 over TLS', flag: '--s3-tls-port' },
}

/** Served when asked for only. */
const askedUses = {
  etcd: { what: "etcd's API", flag: '--etcd-port' },
  sql: { what: "rqlite's HTTP API", flag: '--sql-port' },
} as const

export type UsedPort = keyof PortPlan | keyof typeof askedUses

export const portNames = Object.keys(portUses) as (keyof PortPlan)[]

export function planPorts(
  offset: number,
  flags: Partial<Record<keyof PortPlan, number | undefined>>,
): PortPlan {
  return {
    control: flags.control ?? topologyDefaults.controlPort + offset,
    bulk: flags.bulk ?? topologyDefaults.bulkPort + offset,
    admin: flags.admin ?? topologyDefaults.adminPort + offset,
    s3: flags.s3 ?? topologyDefaults.s3Port + offset,
    s3Tls: flags.s3Tls ?? topologyDefaults.s3TlsPort + offset,
  }
}

const askedPorts = { etcd: 2379, sql: 4001 } as const

/**
 * Where a node of this machine has an API that is served when asked for: on its usual port, moved as the control port is, or
 * on the port that was given for the first node, moved by 100 for each further one where all nodes share an address.
 */
export function askedPortOf(
  node: { readonly slot: number; readonly host: string; readonly ports: PortPlan },
  api: keyof typeof askedPorts,
  first: number | undefined,
): number {
  if (first === undefined)
    return askedPorts[api] + node.ports.control - topologyDefaults.controlPort
  return node.host === '127.0.0.1' ? first + 100 * (node.slot - 1) : first
}

export function shiftPorts(ports: PortPlan, by: number): PortPlan {
  const { control, bulk, admin, s3, s3Tls } = ports
  return {
    control: control + by,
    bulk: bulk + by,
    admin: admin + by,
    s3: s3 + by,
    s3Tls: s3Tls + by,
  }
}

/** Whether 127.0.0.2 and so on exist: always on Linux, by configuration elsewhere. */
export async function hasLoopbackRange(): Promise<boolean> {
  return (await tryListen('127.0.0.2', 0)) === undefined
}

/**
 * Fault 'exists' that names port, use and flag when somebody listens there. The listener of the probe
 * does not share its port, so that a holder that does is noticed too.
 */
export async function requireFreePorts(host: string, ports: PortPlan): Promise<void> {
  for (const name of portNames) {
    const port = ports[name]
    const code = await tryListen(host, port)
    if (code !== undefined) throw portFault(code, { host, port, name })
  }
}

export function portFault(
  code: string,
  taken: { readonly host: string; readonly port: number; readonly name: UsedPort },
): Fault {
  const { host, port, name } = taken
  const { what, flag } = name === 'etcd' || name === 'sql' ? askedUses[name] : portUses[name]
  const why = code === 'EACCES' ? 'may not be used by this user' : 'is taken by another program'
  return new Fault('exists', `port ${port} on ${host} ${why}; it is for ${what}`, {
    fields: { port: String(port), host, flag },
    next: `stop that program, or move the port with ${flag} PORT (or all ports with --port-offset N)`,
  })
}

function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => {
      const code = systemCode(error)
      if (['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'].includes(code)) resolve(code)
      else reject(new Fault('internal', `cannot probe ${host}:${port}: ${reason(error)}`))
    })
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
