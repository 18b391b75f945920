// `atoll admin init`: makes a cluster of one in a directory, starts its node, prints how the others join, and
// waits until as many as were asked for are members and hold the settings bundle.
//
// Every step can be stopped and asked for again: the directory becomes a node's all at once (placing.ts); a node
// that runs is left alone; the token is kept beside the node until the cluster has its size. Asked again with other
// flags, or in a directory that holds something else, it refuses and says what is there.

import { randomBytes } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { clusterId, Fault, nodeId } from '../base/index.ts'
import { formatAddress, planTopology, type Topology, topologyDefaults } from '../cluster/index.ts'
import { askAdmin } from './admin-client.ts'
import type { MachineFlags } from './admin-flags.ts'
import {
  type EarlyStart,
  ensureStarted,
  runningPid,
  startEarly,
  untilAnswers,
} from './background.ts'
import { describeOperator, type FirstOperator, greetOperator } from './first-operator.ts'
import { readText, writeText } from './files.ts'
import { drawAccessKey, drawSecret } from './formation.ts'
import { openDisplay } from './live-display.ts'
import { acquireLock } from '../host/real/lock.ts'
import { writeNodeDir } from './node-dir.ts'
import { defaultCode } from './options.ts'
import { askMembers, findOwnNode, type MembersAnswer, type OwnNode, tryAsk } from './own-node.ts'
import { becomeOwner } from './owner.ts'
import { nodePaths } from './paths.ts'
import { archiveDir, enrolLockPath, finishPlacing, placeNode } from './placing.ts'
import { requireFreePorts } from './ports.ts'
import { shortCluster, shortNode } from './short-names.ts'
import { stopSignal } from './stop-signal.ts'
import { answer, tell } from './terminal.ts'

export type InitOptions = {
  readonly dataDir: string
  readonly machine: MachineFlags
  /** How many members the cluster is meant to have. */
  readonly nodes: number | undefined
  /** In the order of their numbers; undefined: this node alone, others are added as they join. */
  readonly storageNodes: readonly string[] | undefined
  readonly rs: { readonly data: number; readonly parity: number } | undefined
  /** Keep what the directory holds in a folder inside it, and begin anew. */
  readonly isForced: boolean
  /** False: ends once the join command is printed. */
  readonly waits: boolean
  readonly isJson: boolean
}

/** Settles with the exit status. */
export async function init(options: InitOptions): Promise<number> {
  becomeOwner(options.dataDir)
  const plan = planInit(options)
  const stopping = stopSignal()
  const { own, pid } = await takeDir(options, plan)
  const ask = () => tryAsk(() => askMembers(own.endpoint))
  const first = await untilAnswers({ dataDir: options.dataDir, pid }, ask, stopping)
  const isAlone = plan.targetSize <= first.members.length
  const [token, operator] = await Promise.all([
    isAlone ? undefined : openToken(options.dataDir, own, plan.targetSize),
    greetOperator(own.endpoint, nodePaths(options.dataDir).operatorPassword),
  ])
  const told = describeStart({ options, own, token, operator, targetSize: plan.targetSize })
  if (options.isJson) answer(JSON.stringify(told))
  else for (const line of startLines(told)) tell(line)
  if (options.waits && !isAlone) {
    await untilFormed({ ...options, own, pid, targetSize: plan.targetSize }, stopping)
    rmSync(tokenPath(options.dataDir), { force: true })
  }
  const last = await untilAnswers({ dataDir: options.dataDir, pid }, ask, stopping)
  if (options.isJson) answer(JSON.stringify(describeEnd(own, last)))
  else answer(endText(own, last, options.dataDir))
  return 0
}

export type InitPlan = {
  readonly topology: Topology
  readonly self: number
  readonly targetSize: number
}

/** Everything that the flags alone decide; Fault 'invalid' when they contradict one another. */
export function planInit(
  options: Omit<InitOptions, 'dataDir' | 'isForced' | 'waits' | 'isJson'>,
): InitPlan {
  const { machine, storageNodes } = options
  const hosts = storageNodes ?? [machine.bind]
  const at = hosts.findIndex((host) => host.toLowerCase() === machine.bind.toLowerCase())
  if (at === -1) {
    throw new Fault('invalid', `--bind ${machine.bind} is not in the list of storage nodes`, {
      next: `bind to one of ${hosts.join(', ')}, or add ${machine.bind} to the list`,
    })
  }
  const targetSize = options.nodes ?? hosts.length
  if (targetSize < hosts.length) {
    throw new Fault(
      'invalid',
      `--nodes ${targetSize}, but ${hosts.length} storage nodes are listed`,
      {
        next: `give --nodes ${hosts.length}, or list fewer`,
      },
    )
  }
  const rs = options.rs ?? defaultCode(targetSize)
  const places = storageNodes === undefined ? targetSize : hosts.length
  if (rs.data + rs.parity > places) {
    throw new Fault(
      'invalid',
      `--rs ${rs.data}+${rs.parity} needs ${rs.data + rs.parity} storage nodes`,
      {
        next: `list more of them, or give a smaller code than for ${places}`,
      },
    )
  }
  const { ports } = machine
  const topology = planTopology({
    region: machine.region,
    rs,
    s3Tls: { host: topologyDefaults.host, port: ports.s3Tls },
    addresses: hosts.map((host) => ({ host, controlPort: ports.control, bulkPort: ports.bulk })),
    buckets: ['predastore'],
    auth: [{ accessKeyId: drawAccessKey(), secretAccessKey: drawSecret() }],
  })
  return { topology, self: at + 1, targetSize }
}

/** The directory is this cluster's when it settles. */
async function takeDir(
  options: InitOptions,
  plan: InitPlan,
): Promise<{ readonly own: OwnNode; readonly pid: number }> {
  const { dataDir, isForced } = options
  let early: EarlyStart | undefined
  const lock = acquireLock(enrolLockPath(dataDir), dataDir)
  try {
    if (finishPlacing(dataDir)) {
      const own = findOwnNode(dataDir)
      const difference = own === undefined ? 'it cannot be read' : differenceOf(own, options, plan)
      if (own !== undefined && difference === undefined) {
        return { own, pid: ensureStarted(dataDir) }
      }
      if (!isForced) throw takenFault(dataDir, own, difference ?? '')
    } else if (!isForced) requireNoRemains(dataDir)
    if (isForced)
      tellArchive(archiveDir(dataDir, new Date().toISOString().replaceAll(/[:.]/g, '-')))
    if (runningPid(dataDir) === undefined) {
      await requireFreePorts(options.machine.bind, options.machine.ports)
    }
    early = startEarly(dataDir)
    await placeNode(dataDir, (folder) => writeFounder(folder, options, plan))
  } catch (error) {
    early?.giveUp()
    throw error
  } finally {
    lock.release()
  }
  const own = findOwnNode(dataDir)
  if (own !== undefined) return { own, pid: early.pid }
  throw new Fault('internal', `${dataDir} is not a node's although it was written`)
}

function tellArchive(folder: string | undefined): void {
  if (folder !== undefined) tell(`atoll: what was here is now in ${folder}`)
}

/** Undefined when the directory holds what these flags ask for. */
function differenceOf(
  own: OwnNode,
  { machine, storageNodes }: InitOptions,
  plan: InitPlan,
): string | undefined {
  const { file, topology, host } = own
  if (file.targetSize === undefined) return 'it joined another cluster'
  if (topology.region !== machine.region) return `its region is ${topology.region}`
  if (own.name !== machine.name) return `it is called ${own.name}`
  if (host.toLowerCase() !== machine.bind.toLowerCase()) return `its address is ${host}`
  if (file.targetSize !== plan.targetSize) return `it was made for ${file.targetSize} nodes`
  const listed = topology.db.slice(0, storageNodes?.length ?? 0).map((db) => db.host)
  if (storageNodes !== undefined && listed.join() !== storageNodes.join()) {
    return `its storage nodes are ${listed.join(',')}`
  }
  return undefined
}

export function takenFault(dataDir: string, own: OwnNode | undefined, difference: string): Fault {
  const who =
    own === undefined
      ? 'a node'
      : `node ${shortNode(own.name)} of cluster ${shortCluster(own.clusterId)}`
  return new Fault('exists', `${dataDir} already holds ${who}; ${difference}`, {
    fields: { reason: 'identity' },
    next: 'use another directory, or --force to put what is there into a folder beside and begin anew',
  })
}

function requireNoRemains(dataDir: string): void {
  for (const name of ['distributed', 'formation.json', 'cluster.toml', 'predastore.toml']) {
    if (!existsSync(join(dataDir, name))) continue
    throw new Fault('exists', `${dataDir} holds ${name} of something else`, {
      next: 'use another directory, or --force to put what is there into a folder beside and begin anew',
    })
  }
}

async function writeFounder(folder: string, options: InitOptions, plan: InitPlan): Promise<void> {
  const { machine } = options
  const own = clusterId(randomBytes(16).toString('hex'))
  const { makeAuthority } = await import('./authority.ts')
  const authority = await makeAuthority(own)
  const self = nodeId(plan.self)
  const { labels, caps } = machine
  await writeNodeDir(folder, {
    clusterId: own,
    authority,
    adminToken: randomBytes(24).toString('base64url'),
    sealKeyHex: randomBytes(32).toString('hex'),
    isFounder: true,
    topology: plan.topology,
    self,
    file: {
      id: plan.topology.db.length > 1 ? self : undefined,
      founders: [self],
      name: machine.name,
      ...(caps.length === 0 ? {} : { caps: [...new Set(['control', ...caps])] }),
      labels: { region: machine.region, zone: machine.zone, ...labels },
      targetSize: plan.targetSize,
      adminPort: machine.ports.admin,
      s3Port: machine.ports.s3,
      s3TlsPort: machine.ports.s3Tls,
    },
  })
}

const tokenSchema = v.object({
  token: v.string(),
  view: v.object({ id: v.string(), expiresMs: v.number() }),
})
const tokensSchema = v.object({ tokens: v.array(v.object({ id: v.string(), state: v.string() })) })
export type OpenToken = v.InferOutput<typeof tokenSchema>

const askMs = 10_000
const tokenPath = (dataDir: string): string => join(dataDir, 'identity', 'join-token')

/** The token of an earlier try while it can be used, else a new one for all places that are left. */
async function openToken(dataDir: string, own: OwnNode, targetSize: number): Promise<OpenToken> {
  const kept = readText(tokenPath(dataDir))
  const listed = { method: 'GET', path: '/v1/tokens', timeoutMs: askMs } as const
  if (kept !== undefined) {
    const token = v.parse(tokenSchema, JSON.parse(kept))
    const { tokens } = v.parse(tokensSchema, await askAdmin(own.endpoint, listed))
    if (tokens.some(({ id, state }) => id === token.view.id && state === 'open')) return token
  }
  const { members } = await askMembers(own.endpoint)
  const body = { uses: targetSize - members.length }
  const call = { method: 'POST', path: '/v1/tokens', body, timeoutMs: askMs } as const
  const made = v.parse(tokenSchema, await askAdmin(own.endpoint, call))
  writeText(tokenPath(dataDir), JSON.stringify(made), { isSecret: true })
  return made
}

const pollMs = 50

async function untilFormed(
  waiting: {
    readonly dataDir: string
    readonly own: OwnNode
    readonly pid: number
    readonly targetSize: number
  },
  signal: AbortSignal,
): Promise<void> {
  const display = openDisplay()
  const startedMs = Date.now()
  const isFormed = async (): Promise<true | undefined> => {
    const answered = await tryAsk(() => askMembers(waiting.own.endpoint))
    if (answered === undefined) return undefined
    display.show(
      waitingLines(answered, waiting.targetSize, Math.round((Date.now() - startedMs) / 1000)),
    )
    return isComplete(answered, waiting.targetSize) ? true : undefined
  }
  const slowly = async (): Promise<true | undefined> => {
    const formed = await isFormed()
    if (formed === undefined) await new Promise((resolve) => setTimeout(resolve, pollMs))
    return formed
  }
  await untilAnswers(waiting, slowly, signal)
  display.end()
}

/** As many members as wanted are online, and each holds the newest bundle. */
export function isComplete({ members, epoch }: MembersAnswer, targetSize: number): boolean {
  const ready = members.filter((member) => member.state === 'online' && member.epoch === epoch)
  return epoch > 0 && ready.length >= targetSize
}

function waitingLines(
  answered: MembersAnswer,
  targetSize: number,
  seconds: number,
): readonly string[] {
  const { members, epoch, waiting } = answered
  const online = members.filter((member) => member.state === 'online').length
  const shownSeconds = process.stderr.isTTY === true ? ` (${seconds} s)` : ''
  return [
    `atoll: ${online} of ${targetSize} online${shownSeconds}`,
    ...members.map(({ name, address, state, epoch: acknowledged }) => {
      const bundle = acknowledged === epoch ? 'has the settings' : 'waits for the settings'
      return `  ${shortNode(name).padEnd(20)} ${address.padEnd(24)} ${state.padEnd(8)} ${bundle}`
    }),
    ...waiting.map(
      ({ name, address, fingerprint }) =>
        `  ${shortNode(name).padEnd(20)} ${address.padEnd(24)} pending  approve it: atoll admin approve ${name} (${fingerprint})`,
    ),
  ]
}

type Told = {
  readonly event: 'started'
  readonly clusterId: string
  readonly cluster: string
  readonly nodeId: number
  readonly node: string
  readonly admin: string
  readonly targetSize: number
  readonly token: string | null
  readonly tokenExpiresMs: number | null
  readonly joinCommand: string | null
  /** Null when the cluster could not be asked. */
  readonly console: (FirstOperator & { readonly url: string }) | null
}

function describeStart(given: {
  readonly options: InitOptions
  readonly own: OwnNode
  readonly token: OpenToken | undefined
  readonly operator: FirstOperator | undefined
  readonly targetSize: number
}): Told {
  const { own, token, operator, options, targetSize } = given
  const at = { host: own.host, port: own.file.adminPort }
  const admin = `https://${formatAddress(at)}`
  return {
    event: 'started',
    clusterId: own.clusterId,
    cluster: shortCluster(own.clusterId),
    nodeId: own.id,
    node: shortNode(own.name),
    admin,
    targetSize,
    token: token?.token ?? null,
    tokenExpiresMs: token?.view.expiresMs ?? null,
    joinCommand:
      token === undefined ? null : joinCommand(options.machine, { at, token: token.token }),
    console: operator === undefined ? null : { url: `${admin}/console/`, ...operator },
  }
}

/** Ready to paste; what differs from machine to machine is in capitals. */
export function joinCommand(
  machine: Pick<MachineFlags, 'region' | 'zone' | 'ports'>,
  {
    at,
    token,
  }: { readonly at: { readonly host: string; readonly port: number }; readonly token: string },
): string {
  const offset = machine.ports.control - topologyDefaults.controlPort
  return [
    `atoll admin join --region ${machine.region} --az ${machine.zone} --node NAME`,
    `--host ${formatAddress(at)} --bind ADDRESS --data-dir DIRECTORY`,
    ...(offset === 0 ? [] : [`--port-offset ${offset}`]),
    `--token ${token}`,
  ].join(' ')
}

function startLines(told: Told): readonly string[] {
  const head = `Cluster ${told.cluster}, node ${told.node} (number ${told.nodeId}) at ${told.admin}`
  const people = told.console
  const console = people === null ? [] : ['', describeOperator(people.url, people)]
  if (told.token === null || told.joinCommand === null) return [head, ...console]
  const minutes = Math.round(((told.tokenExpiresMs ?? 0) - Date.now()) / 60_000)
  return [
    head,
    ...console,
    '',
    `  Join token, good for ${minutes} minutes: ${told.token}`,
    '',
    '  On each of the other machines, with its own NAME, ADDRESS and DIRECTORY:',
    '',
    `    ${told.joinCommand}`,
    '',
  ]
}

function describeEnd(own: OwnNode, { members, epoch, targetSize, region }: MembersAnswer) {
  const key = own.topology.auth[0]
  return {
    event: members.length >= targetSize ? 'formed' : 'serving',
    clusterId: own.clusterId,
    cluster: shortCluster(own.clusterId),
    epoch,
    targetSize,
    region,
    members,
    s3: `http://${own.host.startsWith('127.') ? own.host : '127.0.0.1'}:${own.file.s3Port}`,
    accessKeyId: key?.accessKeyId ?? '',
    secretAccessKey: key?.secretAccessKey ?? '',
  }
}

function endText(own: OwnNode, answered: MembersAnswer, dataDir: string): string {
  const { s3, accessKeyId, secretAccessKey, region, members } = describeEnd(own, answered)
  const count = `${members.length} ${members.length === 1 ? 'node' : 'nodes'}`
  return [
    '',
    `Atoll is ready: cluster ${shortCluster(own.clusterId)}, ${count}, settings ${answered.epoch}`,
    '',
    `    export AWS_ACCESS_KEY_ID=${accessKeyId}`,
    `    export AWS_SECRET_ACCESS_KEY=${secretAccessKey}`,
    `    export AWS_REGION=${region} AWS_ENDPOINT_URL=${s3}`,
    '',
    `  Members: atoll admin nodes --data-dir ${dataDir}`,
    `  The node goes on in the background; it stops with: atoll stop --data-dir ${dataDir}`,
    '',
  ].join('\n')
}
