// Forming a cluster on this machine, and remembering it. formation.json is the launcher's own record:
// which slots there are, which member holds each, and whether that member ever ran.
//
// Trap: a node directory that was deleted must not come back under its old id, because that member may
// have voted and would vote again.
//   1. node 2 votes for node 1 in term 7, its disk is lost, it returns as node 2 with an empty log;
//   2. node 3 asks for votes in term 7; node 2 has forgotten and votes again;
//   3. two leaders in term 7.
// So a slot that ever ran and whose state is gone is *lost*: it gets a new identity (replace.ts).

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { type ClusterId, clusterId, Fault, type NodeId, nodeId } from '../base/index.ts'
import { planTopology, type Topology, topologyDefaults } from '../cluster/index.ts'
import type { PemPair } from './authority.ts'
import { readText, requireText, writeText } from './files.ts'
import { hasIdentity, readTopology, writeNodeDir, writeTopology } from './node-dir.ts'
import { launcherPaths } from './paths.ts'
import { hasLoopbackRange, type PortPlan, requireFreePorts, shiftPorts } from './ports.ts'

export type Slot = {
  /** 1..n: the number in the directory's name. */
  readonly slot: number
  readonly id: NodeId
  readonly host: string
  readonly ports: PortPlan
  /** True once a process of this identity was started. */
  readonly hasRun: boolean
}

export type Formation = {
  readonly clusterId: ClusterId
  readonly slots: readonly Slot[]
}

const portsSchema = v.strictObject({
  control: v.pipe(v.number(), v.integer()),
  bulk: v.pipe(v.number(), v.integer()),
  admin: v.pipe(v.number(), v.integer()),
  s3: v.pipe(v.number(), v.integer()),
  s3Tls: v.pipe(v.number(), v.integer()),
})
const formationSchema = v.strictObject({
  version: v.literal(1),
  clusterId: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  slots: v.pipe(
    v.array(
      v.strictObject({
        slot: v.pipe(v.number(), v.integer(), v.minValue(1)),
        id: v.pipe(v.number(), v.integer(), v.minValue(1)),
        host: v.string(),
        ports: portsSchema,
        hasRun: v.boolean(),
      }),
    ),
    v.minLength(1),
    v.maxLength(64),
  ),
})

/** Undefined when this directory holds no cluster yet. */
export function readFormation(dataDir: string): Formation | undefined {
  const path = launcherPaths(dataDir).formation
  const text = readText(path)
  if (text === undefined) return undefined
  const parsed = v.safeParse(formationSchema, parseJson(text))
  if (!parsed.success) {
    throw new Fault('corrupt', `${path} cannot be read: ${parsed.issues[0]?.message}`, {
      next: `restore it from a copy, or remove ${dataDir} to start with an empty cluster`,
    })
  }
  const { slots } = parsed.output
  return {
    clusterId: clusterId(parsed.output.clusterId),
    slots: slots.map((slot) => ({ ...slot, id: nodeId(slot.id) })),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function writeFormation(dataDir: string, formation: Formation): void {
  const text = `${JSON.stringify({ version: 1, ...formation }, null, 2)}\n`
  writeText(launcherPaths(dataDir).formation, text)
}

export function readAuthority(dataDir: string): PemPair {
  const paths = launcherPaths(dataDir)
  return {
    certificatePem: requireText(paths.authorityCertificate),
    privateKeyPem: requireText(paths.authorityKey),
  }
}

export function readAdminToken(dataDir: string): string {
  return requireText(launcherPaths(dataDir).adminToken).trim()
}

/** Undefined in a cluster that began before there were any. */
export function readSealKey(dataDir: string): string | undefined {
  return readText(launcherPaths(dataDir).sealKey)?.trim()
}

export function requireTopology(dataDir: string): Topology {
  const topology = readTopology(dataDir)
  if (topology !== undefined) return topology
  throw new Fault('not-found', `${dataDir} holds no cluster.toml`, {
    next: `restore it from ${join(dataDir, 'node-1')}`,
  })
}

export type FormationPlan = {
  readonly nodes: number
  readonly rs: { readonly data: number; readonly parity: number }
  readonly ports: PortPlan
}

/**
 * Makes a cluster from nothing. formation.json is written last, so that an interrupted formation is
 * simply made again: no node can have run before. A cluster.toml that the user put there beforehand is
 * the plan then, instead of the flags.
 */
export async function formCluster(dataDir: string, plan: FormationPlan): Promise<Formation> {
  requireNoState(dataDir)
  const given = readTopology(dataDir)
  const hosts = given === undefined ? await planHosts(plan) : hostsOf(given, plan.ports)
  for (const { host, ports } of hosts) await requireFreePorts(host, ports)
  const topology = given ?? defaultTopology(plan, hosts)
  const own = clusterId(randomBytes(16).toString('hex'))
  const { makeAuthority } = await import('./authority.ts')
  const authority = await makeAuthority(own)
  const adminToken = randomBytes(24).toString('base64url')
  const paths = launcherPaths(dataDir)
  writeText(paths.authorityCertificate, authority.certificatePem)
  writeText(paths.authorityKey, authority.privateKeyPem, { isSecret: true })
  writeText(paths.adminToken, `${adminToken}\n`, { isSecret: true })
  const sealKeyHex = randomBytes(32).toString('hex')
  writeText(paths.sealKey, `${sealKeyHex}\n`, { isSecret: true })
  writeTopology(dataDir, topology)
  const isMulti = topology.db.length > 1
  const slots = hosts.map(({ host, ports }, at): Slot => {
    const id = topology.db[at]?.id ?? nodeId(at + 1)
    return { slot: at + 1, id, host, ports, hasRun: false }
  })
  await Promise.all(
    slots.map(({ slot, id, ports }) => {
      const nodeDir = paths.node(slot)
      return writeNodeDir(nodeDir, {
        clusterId: own,
        authority,
        adminToken,
        sealKeyHex,
        isFounder: true,
        topology,
        self: id,
        file: nodeFileOf(ports, isMulti ? id : undefined),
      })
    }),
  )
  const formation = { clusterId: own, slots }
  writeFormation(dataDir, formation)
  return formation
}

/** A formation overwrites what an interrupted one left behind, but never a node's state. */
function requireNoState(dataDir: string): void {
  const names = existsSync(dataDir) ? readdirSync(dataDir) : []
  for (const name of names.filter((name) => /^node-\d+$/.test(name))) {
    const nodeDir = join(dataDir, name)
    if (!existsSync(join(nodeDir, 'distributed'))) continue
    throw new Fault('exists', `${nodeDir} holds a node's data, but ${dataDir} knows no cluster`, {
      next: `bring back ${launcherPaths(dataDir).formation}, or move the data elsewhere`,
    })
  }
}

export function nodeFileOf(
  ports: PortPlan,
  id: NodeId | undefined,
  founders: readonly NodeId[] = [],
): Parameters<typeof writeNodeDir>[1]['file'] {
  return { id, founders, adminPort: ports.admin, s3Port: ports.s3, s3TlsPort: ports.s3Tls }
}

type HostPlan = { readonly host: string; readonly ports: PortPlan }

async function planHosts(plan: FormationPlan): Promise<readonly HostPlan[]> {
  const hasRange = plan.nodes === 1 || (await hasLoopbackRange())
  const hosts: HostPlan[] = []
  for (let at = 0; at < plan.nodes; at++) {
    hosts.push(
      hasRange
        ? { host: `127.0.0.${at + 1}`, ports: plan.ports }
        : { host: '127.0.0.1', ports: shiftPorts(plan.ports, 100 * at) },
    )
  }
  return hosts
}

function hostsOf(topology: Topology, ports: PortPlan): readonly HostPlan[] {
  return topology.db.map((db) => {
    const bulk = topology.nodes.find((node) => node.id === db.id)?.port ?? ports.bulk
    const moved = ports.s3Tls === topologyDefaults.s3TlsPort ? topology.port : ports.s3Tls
    return { host: db.host, ports: { ...ports, control: db.port, bulk, s3Tls: moved } }
  })
}

function defaultTopology(plan: FormationPlan, hosts: readonly HostPlan[]): Topology {
  const auth = [{ accessKeyId: drawAccessKey(), secretAccessKey: drawSecret() }]
  return planTopology({
    region: topologyDefaults.region,
    rs: plan.rs,
    s3Tls: { host: topologyDefaults.host, port: plan.ports.s3Tls },
    addresses: hosts.map(({ host, ports }) => ({
      host,
      controlPort: ports.control,
      bulkPort: ports.bulk,
    })),
    buckets: ['predastore'],
    auth,
  })
}

/** As AWS words them: 20 upper-case characters; 40 characters that need no quoting in a shell. */
export function drawAccessKey(): string {
  return `AKIA${drawText(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`
}

export function drawSecret(): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
  return drawText(40, `${letters}${letters.toLowerCase()}0123456789-_`)
}

/** The alphabet's length is a power of two, so that every character is equally likely. */
function drawText(count: number, alphabet: string): string {
  let text = ''
  for (const byte of randomBytes(count)) text += alphabet[byte % alphabet.length]
  return text
}

/** Members that ran before and whose state is gone from this machine. */
export function isLost(dataDir: string, slot: Slot, topology: Topology): boolean {
  if (!slot.hasRun) return false
  const nodeDir = launcherPaths(dataDir).node(slot.slot)
  const db = topology.db.find((listed) => listed.id === slot.id)
  return !hasIdentity(nodeDir) || db === undefined || !existsSync(join(nodeDir, db.path))
}
