// `atoll admin join`: makes this machine a member of a cluster. One authenticated request; what comes back is written
// at once and whole (placing.ts), the node is started, and the command ends when the cluster counts it as online.
//
// Asked again after a crash, the same keys ask again, so that a lost answer costs no use of the token. The keys and
// what was asked lie in D/.joining until the directory is a node's. The way in is the same for a person, the
// setup page and a bootstrap file: askToJoin().

import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import * as v from 'valibot'
import { clusterId, Fault, fromHex, isFault, nodeId, toFault } from '../base/index.ts'
import { findNodeIdByHost, parseTopology, renderNodeFile } from '../cluster/files.ts'
import {
  type JoinAnswer,
  joinClient,
  type JoinKeys,
  type JoinToken,
  parseJoinToken,
  programVersion,
} from '../cluster/index.ts'
import type { Address, Host } from '../host/index.ts'
import { createRealHost } from '../host/real/index.ts'
import type { MachineFlags } from './admin-flags.ts'
import { takenFault } from './admin-init.ts'
import {
  type EarlyStart,
  ensureStarted,
  pause,
  runningPid,
  startEarly,
  untilAnswers,
} from './background.ts'
import { readText, writeText } from './files.ts'
import { joinStatusOf } from './join-status.ts'
import { openDisplay } from './live-display.ts'
import { acquireLock } from '../host/real/lock.ts'
import { askMembers, findOwnNode, type OwnNode, tryAsk } from './own-node.ts'
import { becomeOwner } from './owner.ts'
import { hasIdentity } from './node-dir.ts'
import { nodePaths } from './paths.ts'
import { archiveDir, enrolLockPath, finishPlacing, placeNode } from './placing.ts'
import { faultOfAnswer, openPinned } from './pinned-server.ts'
import { requireFreePorts } from './ports.ts'
import { isCluster, shortCluster, shortNode } from './short-names.ts'
import { stopSignal } from './stop-signal.ts'
import { answer, reportFailure, tell } from './terminal.ts'

export type JoinOptions = {
  readonly dataDir: string
  readonly machine: MachineFlags
  /** Undefined: searched for on the local network. */
  readonly at: Address | undefined
  /** Undefined: the machine waits for an operator of `cluster`. */
  readonly token: string | undefined
  /** The cluster's name, short or whole; needed without a token. */
  readonly cluster: string | undefined
  /** The authority's, in hexadecimal, where there is no token that names it. */
  readonly pin?: string | undefined
  readonly isForced: boolean
  /** False: a machine that has to wait for an operator ends with its own status instead. */
  readonly waits: boolean
  readonly isJson: boolean
}

/** Settles with the exit status: join-status.ts. */
export async function join(options: JoinOptions): Promise<number> {
  becomeOwner(options.dataDir)
  const stopping = stopSignal()
  let early: EarlyStart | undefined
  try {
    const { dataDir, isJson } = options
    const own = await enrol(options, stopping, {
      onClear() {
        early = startEarly(dataDir)
      },
    })
    const pid = early?.pid ?? ensureStarted(dataDir)
    await untilOnline({ dataDir, own, pid, isJson }, stopping)
    return 0
  } catch (error) {
    if (!hasIdentity(options.dataDir)) early?.giveUp()
    reportFailure(error)
    return joinStatusOf(toFault(error))
  }
}

export type EnrolOptions = {
  /** This process, or one that waits to be paired, has the directory's ports. */
  readonly holdsPorts?: boolean
  /** The directory is bare and the ports are free: the machine is about to ask. */
  readonly onClear?: () => void
  /** Told instead of shown: an operator has to decide on the machine with this key. */
  readonly onPending?: (fingerprint: string) => void
}

/** The directory is a member's when it settles; nothing runs yet. */
export async function enrol(
  options: JoinOptions,
  signal: AbortSignal,
  how: EnrolOptions = {},
): Promise<OwnNode> {
  const { dataDir, machine } = options
  const token = options.token === undefined ? undefined : parseJoinToken(options.token)
  if (token === undefined && options.cluster === undefined) {
    throw new Fault('invalid', 'neither --token nor --cluster is given', {
      next: 'make a token on a member: atoll admin token create',
    })
  }
  mkdirSync(dataDir, { recursive: true })
  const lock = acquireLock(enrolLockPath(dataDir), dataDir)
  try {
    if (finishPlacing(dataDir)) {
      const own = findOwnNode(dataDir)
      const difference = own === undefined ? 'it cannot be read' : differenceOf(own, options)
      if (own !== undefined && difference === undefined) return own
      if (!options.isForced) throw takenFault(dataDir, own, difference ?? '')
    }
    if (options.isForced) {
      const folder = archiveDir(dataDir, new Date().toISOString().replaceAll(/[:.]/g, '-'))
      if (folder !== undefined) tell(`atoll: what was here is now in ${folder}`)
    }
    const isPaired = how.holdsPorts === true || runningPid(dataDir) !== undefined
    if (!isPaired) await requireFreePorts(machine.bind, machine.ports)
    how.onClear?.()
    const host = quietHost(dataDir)
    const keys = await keepKeys(host, dataDir, machine.name)
    const at = options.at ?? (await (await import('./discovery.ts')).findCluster(options, signal))
    const answered = await askToJoin({ host, options, token, keys, at, how }, signal)
    await placeNode(dataDir, async (folder) => writeJoined(folder, { options, answered, keys }))
    rmSync(joiningPath(dataDir), { recursive: true, force: true })
  } finally {
    lock.release()
  }
  const own = findOwnNode(dataDir)
  if (own !== undefined) return own
  throw new Fault('internal', `${dataDir} is not a node's although it was written`)
}

function quietHost(dataDir: string): Host {
  return createRealHost({
    rootPath: dataDir,
    journal: { format: 'text', level: 'error', name: 'join' },
  })
}

/** Undefined when the directory holds what these flags ask for. */
function differenceOf(own: OwnNode, { machine, cluster }: JoinOptions): string | undefined {
  if (own.name !== machine.name) return `it is called ${own.name}`
  if (own.host.toLowerCase() !== machine.bind.toLowerCase()) return `its address is ${own.host}`
  if (own.topology.region !== machine.region) return `its region is ${own.topology.region}`
  if (cluster !== undefined && !isCluster(cluster, own.clusterId)) return 'it is another cluster'
  return undefined
}

// ---- keys ----

const pairSchema = v.object({ requestPem: v.string(), privateKeyPem: v.string() })
const keysSchema = v.object({
  version: v.literal(1),
  name: v.string(),
  keys: v.object({ node: pairSchema, server: pairSchema }),
})

const joiningPath = (dataDir: string): string => joinPath(dataDir, '.joining')

/** The keys of an earlier try with this name, or new ones: on the disk before they are used. */
export async function keepKeys(host: Host, dataDir: string, name: string): Promise<JoinKeys> {
  const path = joinPath(joiningPath(dataDir), 'keys.json')
  const kept = readText(path)
  if (kept !== undefined) {
    const parsed = v.safeParse(keysSchema, parseJson(kept))
    if (parsed.success && parsed.output.name === name) return parsed.output.keys
  }
  const keys = await joinClient.makeJoinKeys(host, name)
  writeText(path, `${JSON.stringify({ version: 1, name, keys })}\n`, { isSecret: true })
  return keys
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// ---- asking ----

type Joined = Extract<JoinAnswer, { kind: 'joined' }>
type Asking = {
  readonly host: Host
  readonly options: JoinOptions
  readonly token: JoinToken | undefined
  readonly keys: JoinKeys
  readonly at: Address
  readonly how: EnrolOptions
}

/** Asks until a member or an operator has decided; what is refused is a Fault with its reason. */
async function askToJoin(asking: Asking, signal: AbortSignal): Promise<Joined> {
  const display = openDisplay()
  for (;;) {
    const answered = await askOnce(asking)
    if (answered.kind === 'joined') {
      display.end()
      return answered
    }
    const { fingerprint, retrySeconds } = answered
    if (!asking.options.waits) throw pendingFault(asking.options.machine.name, fingerprint)
    const { name } = asking.options.machine
    if (asking.how.onPending !== undefined) asking.how.onPending(fingerprint)
    else {
      display.show([
        `atoll: ${shortNode(name)} waits for an operator; its key is ${fingerprint}`,
        `  on a member: atoll admin approve ${name}`,
      ])
    }
    const endMs = Date.now() + Math.min(Math.max(retrySeconds, 1), 60) * 1000
    while (Date.now() < endMs) {
      if (signal.aborted)
        throw new Fault('cancelled', 'told to stop; ask again with the same command')
      await pause(100)
    }
  }
}

function pendingFault(name: string, fingerprint: string): Fault {
  return new Fault('unavailable', `${shortNode(name)} waits for an operator`, {
    fields: { reason: 'pending', fingerprint },
    next: `approve it on a member: atoll admin approve ${name}; then ask again with the same command`,
  })
}

async function askOnce({ host, options, token, keys, at }: Asking): Promise<JoinAnswer> {
  const { machine } = options
  const pinned = await openPinned(host, at, token?.pin ?? pinOf(options.pin))
  const { server } = pinned
  if (options.cluster !== undefined && !isCluster(options.cluster, server.clusterId)) {
    const what = `${at.host}:${at.port} is of cluster ${shortCluster(server.clusterId)}`
    throw new Fault('unauthenticated', `${what}, not ${options.cluster}`, {
      fields: { reason: 'pin' },
      next: 'give the address of a member of the cluster that was meant',
    })
  }
  const at7777 = (port: number): Address => ({ host: machine.bind, port })
  const body = await joinClient.buildJoinRequest(host, {
    keys,
    server,
    ...(token === undefined ? {} : { token }),
    fields: {
      clusterId: server.clusterId,
      name: machine.name,
      region: machine.region,
      zone: machine.zone,
      admin: at7777(machine.ports.admin),
      control: at7777(machine.ports.control),
      bulk: at7777(machine.ports.bulk),
      s3: at7777(machine.ports.s3),
      caps: machine.caps,
      labels: machine.labels,
      capacityBytes: capacityOf(options.dataDir),
      version: programVersion,
      ts: Math.floor(Date.now() / 1000),
    },
  })
  const answered = await pinned.post('/join', body)
  if (answered.status === 200 || answered.status === 202)
    return joinClient.parseJoinAnswer(answered.body)
  throw faultOfAnswer(answered)
}

function pinOf(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : fromHex(text.slice(0, 32))
}

function capacityOf(dataDir: string): number {
  const { blocks, bsize } = statfsSync(dataDir)
  return blocks * bsize
}

// ---- writing ----

type JoinedPlan = {
  readonly options: JoinOptions
  readonly answered: Joined
  readonly keys: JoinKeys
}

/** The cluster's file goes to the disk as it came; the machine finds itself in it by its address, or stops. */
function writeJoined(folder: string, { options, answered, keys }: JoinedPlan): void {
  const { machine } = options
  const paths = nodePaths(folder)
  const self = findSelf(answered, machine.bind)
  const secret = { isSecret: true }
  writeText(paths.cluster, answered.topologyText, secret)
  writeText(paths.bundle, answered.bundleText)
  writeText(paths.clusterId, `${clusterId(answered.clusterId)}\n`)
  writeText(paths.authorityCertificate, answered.authorityPem)
  writeText(paths.certificate, answered.nodeCertificatePem)
  writeText(paths.privateKey, keys.node.privateKeyPem, secret)
  writeText(paths.serverCertificate, answered.serverCertificatePem)
  writeText(paths.serverKey, keys.server.privateKeyPem, secret)
  writeText(paths.adminToken, `${randomBytes(24).toString('base64url')}\n`, secret)
  const { region, zone, labels, caps, ports, name } = machine
  const file = renderNodeFile({
    id: self,
    founders: answered.founders,
    name,
    ...(caps.length === 0 ? {} : { caps }),
    labels: { region, zone, ...labels },
    adminPort: ports.admin,
    s3Port: ports.s3,
    s3TlsPort: ports.s3Tls,
  })
  writeText(paths.node, file)
}

function findSelf(answered: Joined, bind: string) {
  const next = 'bind to an address that the cluster file lists, or have this one added to it'
  const fields = { reason: 'address' }
  let topology: ReturnType<typeof parseTopology>
  try {
    topology = parseTopology(answered.topologyText, 'PredastoreConfig', { mayGrow: true })
  } catch (error) {
    if (!isFault(error)) throw error
    throw new Fault('invalid', `the cluster file that came cannot be read: ${error.message}`, {
      fields,
    })
  }
  const own = findNodeIdByHost(topology, bind)
  if (own === undefined) {
    const listed = topology.db.map((db) => db.host).join(', ')
    const what = `no [[db]] entry of the cluster file has the address ${bind}; it lists ${listed}`
    throw new Fault('invalid', what, { fields, next })
  }
  if (own === nodeId(answered.nodeId)) return own
  const what = `the cluster file says that ${bind} is node ${own}, the member says ${answered.nodeId}`
  throw new Fault('invalid', what, { fields, next })
}

// ---- being online ----

const pollMs = 20

async function untilOnline(
  node: {
    readonly dataDir: string
    readonly own: OwnNode
    readonly pid: number
    readonly isJson: boolean
  },
  signal: AbortSignal,
): Promise<void> {
  const { own, isJson } = node
  const display = openDisplay()
  const look = async () => {
    const answered = await tryAsk(() => askMembers(own.endpoint))
    const self = answered?.members.find((member) => member.id === own.id)
    if (answered !== undefined && self?.state === 'online') return answered
    display.show([`atoll: ${shortNode(own.name)} is ${self?.state ?? 'starting'}`])
    await pause(pollMs)
    return undefined
  }
  const answered = await untilAnswers(node, look, signal)
  display.end()
  const { epoch, members, targetSize } = answered
  const shown = {
    event: 'online',
    clusterId: own.clusterId,
    cluster: shortCluster(own.clusterId),
    nodeId: own.id,
    node: shortNode(own.name),
    epoch,
    targetSize,
    members,
    s3: `http://${own.host.startsWith('127.') ? own.host : '127.0.0.1'}:${own.file.s3Port}`,
  }
  if (isJson) answer(JSON.stringify(shown))
  else {
    const count =
      members.length < targetSize ? `${members.length} of ${targetSize}` : `${members.length}`
    answer(
      `Node ${shown.node} (number ${own.id}) is online in cluster ${shown.cluster}: ${count} members, settings ${epoch}`,
    )
  }
}
