// A node whose directory was deleted comes back as somebody else: the running members give its place to
// a new identity, the launcher signs a certificate for that, and the node starts empty and is rebuilt.
// The reason is told in formation.ts.

import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { Fault, nodeId, toFault } from '../base/index.ts'
import { replaceInTopology, type Topology } from '../cluster/index.ts'
import {
  type Formation,
  nodeFileOf,
  readAdminToken,
  readAuthority,
  readSealKey,
  requireTopology,
  type Slot,
  writeFormation,
} from './formation.ts'
import { askLive } from './grow.ts'
import { hasIdentity, writeNodeDir, writeTopology } from './node-dir.ts'
import { launcherPaths } from './paths.ts'
import { tell } from './terminal.ts'

const replacementSchema = v.object({
  id: v.pipe(v.number(), v.integer(), v.minValue(1)),
  founders: v.array(v.pipe(v.number(), v.integer(), v.minValue(1))),
})

/** Asks `live` nodes in turn; answers the formation with the slot's new identity, already written. */
export async function replaceLostSlot(
  dataDir: string,
  formation: Formation,
  plan: { readonly lost: Slot; readonly live: readonly Slot[] },
): Promise<Formation> {
  const { lost, live } = plan
  tell(`atoll: the state of node ${lost.id} is gone; its place goes to a new identity`)
  const given = await askForReplacement(dataDir, { lost, live })
  const fresh = nodeId(given.id)
  const topology = replaceInTopology(requireTopology(dataDir), lost.id, fresh)
  const slot: Slot = { ...lost, id: fresh, hasRun: false }
  const changed: Formation = {
    ...formation,
    slots: formation.slots.map((kept) => (kept.slot === slot.slot ? slot : kept)),
  }
  const nodeDir = launcherPaths(dataDir).node(slot.slot)
  moveAside(nodeDir, `lost-node-${lost.id}`)
  await writeNodeDir(nodeDir, {
    clusterId: formation.clusterId,
    authority: readAuthority(dataDir),
    adminToken: readAdminToken(dataDir),
    sealKeyHex: readSealKey(dataDir),
    topology,
    self: fresh,
    file: nodeFileOf(slot.ports, fresh, given.founders.map(nodeId)),
  })
  distributeTopology(dataDir, changed, topology)
  writeFormation(dataDir, changed)
  tell(`atoll: node ${fresh} takes the place of node ${lost.id} and is being rebuilt`)
  return changed
}

/** Whatever is left of the lost node stays on its disk under another name; nothing is deleted. */
function moveAside(nodeDir: string, name: string): void {
  const left = existsSync(nodeDir) ? readdirSync(nodeDir) : []
  const remains = left.filter((entry) => !/^lost(-node-|\+found)/.test(entry))
  if (remains.length === 0) return
  const aside = join(nodeDir, name)
  mkdirSync(aside, { recursive: true })
  for (const entry of remains) renameSync(join(nodeDir, entry), join(aside, entry))
  tell(`atoll: what was left in ${nodeDir} is now in ${aside}; delete it when you do not need it`)
}

/** The same bytes everywhere; running nodes follow the member list and read the file at their next start. */
function distributeTopology(dataDir: string, formation: Formation, topology: Topology): void {
  writeTopology(dataDir, topology)
  for (const { slot } of formation.slots) {
    const nodeDir = launcherPaths(dataDir).node(slot)
    if (hasIdentity(nodeDir)) writeTopology(nodeDir, topology)
  }
}

async function askForReplacement(
  dataDir: string,
  { lost, live }: { readonly lost: Slot; readonly live: readonly Slot[] },
): Promise<v.InferOutput<typeof replacementSchema>> {
  const call = { path: '/v1/members/replace', body: { old: lost.id } }
  const given = await askLive(dataDir, live, call).catch((error: unknown) => {
    const { message, outcome } = toFault(error)
    throw new Fault('unavailable', `node ${lost.id} cannot be replaced: ${message}`, {
      outcome,
      next:
        'a majority of the nodes must run to accept a replacement; ' +
        `if they are lost for good, remove ${dataDir} to start with an empty cluster`,
      cause: error,
    })
  })
  return v.parse(replacementSchema, given)
}
