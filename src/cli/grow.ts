// Slots of a launcher's cluster that come and go: a newcomer's directory is made when the cluster has taken it in as a
// member, a removed member's is put aside. Whenever the list of nodes changes, every node's own file says who it is
// and who founded the groups: a node that was found by being the only one, or took the list for the founders,
// would take itself for somebody else.

import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { Fault, type NodeId, nodeId } from '../base/index.ts'
import {
  extendTopology,
  readdressInTopology,
  shrinkTopology,
  type Topology,
} from '../cluster/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import {
  type Formation,
  nodeFileOf,
  readAdminToken,
  readAuthority,
  requireTopology,
  type Slot,
  writeFormation,
} from './formation.ts'
import {
  hasIdentity,
  readNodeFile,
  writeNodeDir,
  writeNodeFile,
  writeTopology,
} from './node-dir.ts'
import { launcherPaths } from './paths.ts'
import { hasLoopbackRange, type PortPlan, requireFreePorts, shiftPorts } from './ports.ts'
import { tell } from './terminal.ts'

const addedSchema = v.object({
  id: v.pipe(v.number(), v.integer(), v.minValue(1)),
  founders: v.array(v.pipe(v.number(), v.integer(), v.minValue(1))),
})
const askMs = 20_000
const slotsMax = 64

/** Takes a new node into the cluster and makes its directory; `live` nodes are asked in turn. */
export async function addSlot(
  dataDir: string,
  formation: Formation,
  live: readonly Slot[],
): Promise<Formation> {
  const { host, ports, slot } = await planSlot(formation)
  await requireFreePorts(host, ports)
  const given = v.parse(
    addedSchema,
    await askLive(dataDir, live, {
      path: '/v1/members/add',
      body: { addresses: addressesOf(host, ports) },
    }),
  )
  const id = nodeId(given.id)
  const founders = given.founders.map(nodeId)
  const topology = extendTopology(requireTopology(dataDir), {
    id,
    host,
    controlPort: ports.control,
    bulkPort: ports.bulk,
  })
  const added: Slot = { slot, id, host, ports, hasRun: false }
  const changed = { ...formation, slots: [...formation.slots, added] }
  await writeSlot(dataDir, changed, { slot: added, topology, founders })
  distribute(dataDir, changed, { topology, founders })
  writeFormation(dataDir, changed)
  tell(`atoll: node ${id} joins, in ${launcherPaths(dataDir).node(slot)}`)
  return changed
}

/** The member is removed and its process has ended: its slot goes, its directory stays under another name. */
export function dropSlot(dataDir: string, formation: Formation, dropped: Slot): string {
  const slots = formation.slots.filter(({ slot }) => slot !== dropped.slot)
  const changed = { ...formation, slots }
  const topology = requireTopology(dataDir)
  const { data, parity } = topology.rs
  // A list that is too short for its own code would not be read: then it keeps the node that is gone.
  if (slots.length >= data + parity) {
    const founders = foundersOf(dataDir, formation, topology)
    distribute(dataDir, changed, { topology: shrinkTopology(topology, dropped.id), founders })
  }
  writeFormation(dataDir, changed)
  const aside = join(dataDir, `removed-node-${dropped.id}`)
  const nodeDir = launcherPaths(dataDir).node(dropped.slot)
  if (existsSync(nodeDir)) renameSync(nodeDir, aside)
  return aside
}

/** The node at another address, with certificates for it; it does not run. */
export async function readdressSlot(
  dataDir: string,
  formation: Formation,
  moved: { readonly slot: Slot; readonly host: string },
): Promise<Formation> {
  const slot: Slot = { ...moved.slot, host: moved.host }
  const before = requireTopology(dataDir)
  const founders = foundersOf(dataDir, formation, before)
  const topology = readdressInTopology(before, slot.id, slot.host)
  const slots = formation.slots.map((kept) => (kept.slot === slot.slot ? slot : kept))
  const changed = { ...formation, slots }
  await writeSlot(dataDir, changed, { slot, topology, founders })
  distribute(dataDir, changed, { topology, founders })
  writeFormation(dataDir, changed)
  return changed
}

/** The first of `live` that answers. */
export async function askLive(
  dataDir: string,
  live: readonly Slot[],
  call: { readonly path: string; readonly body: unknown },
): Promise<unknown> {
  const { certificatePem: authorityPem } = readAuthority(dataDir)
  const token = readAdminToken(dataDir)
  return await askFirst(live, ({ host, ports }) =>
    askAdmin(
      { host, port: ports.admin, authorityPem, token },
      { method: 'POST', ...call, timeoutMs: askMs },
    ),
  )
}

function addressesOf(host: string, ports: PortPlan) {
  return {
    control: { host, port: ports.control },
    bulk: { host, port: ports.bulk },
    admin: { host, port: ports.admin },
    s3: { host, port: ports.s3 },
  }
}

/** Beside the first node: the next loopback address, or its ports moved on. */
async function planSlot(formation: Formation) {
  const [first] = formation.slots
  const slot = Math.max(0, ...formation.slots.map((one) => one.slot)) + 1
  if (first === undefined || slot > slotsMax) {
    throw new Fault('invalid', `a launcher keeps at most ${slotsMax} nodes`)
  }
  const isShared =
    formation.slots.length > 1 && formation.slots.every(({ host }) => host === first.host)
  return !isShared && (await hasLoopbackRange())
    ? { slot, host: `127.0.0.${slot}`, ports: first.ports }
    : { slot, host: first.host, ports: shiftPorts(first.ports, 100 * (slot - first.slot)) }
}

async function writeSlot(
  dataDir: string,
  formation: Formation,
  made: { readonly slot: Slot; readonly topology: Topology; readonly founders: readonly NodeId[] },
): Promise<void> {
  const { slot, topology, founders } = made
  await writeNodeDir(launcherPaths(dataDir).node(slot.slot), {
    clusterId: formation.clusterId,
    authority: readAuthority(dataDir),
    adminToken: readAdminToken(dataDir),
    topology,
    self: slot.id,
    file: nodeFileOf(slot.ports, slot.id, founders),
  })
}

/** The same list everywhere; running nodes follow the member list and read files at their next start. */
function distribute(
  dataDir: string,
  formation: Formation,
  { topology, founders }: { readonly topology: Topology; readonly founders: readonly NodeId[] },
): void {
  for (const { slot, id, ports } of formation.slots) {
    const nodeDir = launcherPaths(dataDir).node(slot)
    if (!hasIdentity(nodeDir)) continue
    writeNodeFile(nodeDir, nodeFileOf(ports, id, founders))
    writeTopology(nodeDir, topology)
  }
  writeTopology(dataDir, topology)
}

/** As a node's own file has them; the list itself where none says otherwise. */
function foundersOf(dataDir: string, formation: Formation, topology: Topology): readonly NodeId[] {
  for (const { slot } of formation.slots) {
    const nodeDir = launcherPaths(dataDir).node(slot)
    if (!hasIdentity(nodeDir)) continue
    const { founders } = readNodeFile(nodeDir)
    if (founders.length > 0) return founders
  }
  return topology.db.map(({ id }) => id)
}
