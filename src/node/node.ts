// startNode: the only wiring. It builds every room from one config and one host, in the order of the
// floors, and takes them down in the opposite order, gateways first.
//
// Start: local state (log, store, value segments), the groups over it, the member list as this node's
// replica last knew it, then the network, then founding or waiting for the cluster's state, then the
// data thread, then the admin API. Peers are set from the replica before anything listens, so that an
// identity that was removed while this node was down is never spoken to on the word of an old file.

import { Fault, type GroupId, groupId, isFault, type NodeId } from '../base/index.ts'
import {
  type Cluster,
  firstObjectsNamespace,
  foundCluster,
  listEvents,
  levelOf,
  listEventsAfter,
  type MemberTrust,
  type Heartbeats,
  openCluster,
  type Patience,
  planFounders,
  readLocalMembers,
  replaceMember,
  systemNamespace,
} from '../cluster/index.ts'
import {
  adminMalformed,
  createAdminHandler,
  EventStreams,
  leavingRoutes,
  nodeRoutes,
  raftRoutes,
  registryRoutes,
  servicesRoutes,
  trustRoutes,
  upgradeRoutes,
  whileServed,
} from '../gateways/admin/index.ts'
import { type ConsoleAsset, createConsole, servePages } from '../gateways/console/index.ts'
import { sqlRoutes } from '../gateways/sql/routes.ts'
import type { Address, Disk, Host } from '../host/index.ts'
import {
  type CoreKeyspaces,
  createKeyspaces,
  type Keyspace,
  type KeyspaceDependencies,
  type Keyspaces,
  keyspaceTables,
} from '../keyspace/index.ts'
import {
  createRaft,
  type Foreign,
  type Group,
  type Raft,
  raftTable,
  supersededFault,
} from '../raft/index.ts'
import { controlCallers, controlMethod, createRpc } from '../rpc/index.ts'
import { sqlTable } from '../sql/table.ts'
import { openLog, openSegments, openStore } from '../storage/index.ts'
import { announceMember } from './announce.ts'
import { Closers } from './closers.ts'
import { followClusterFiles } from './cluster-files.ts'
import { answerSearches, routesOfEnrolment } from './enrolling.ts'
import { type NodeConfig, pathsOf, planReserves, snapshotsPathOf } from './config.ts'
import { firstPeers } from './first-peers.ts'
import { Guests } from './guests.ts'
import { createHeartbeats } from './health.ts'
import { etcdNamespace } from './namespaces.ts'
import { UserNamespaces } from './user-namespaces.ts'
import { handOver } from './heir.ts'
import { NodeLevel } from './level.ts'
import { type Lane, startLane } from './lane.ts'
import { createLeavingActions } from './leaving-actions.ts'
import { followMembership } from './membership.ts'
import { createRegistryActions } from './registry-actions.ts'
import { clusterStatus, hearAll, ownStatus, type StatusParts } from './own-status.ts'
import { type ClusterStatus, nodeStatusCodec } from './status.ts'
import { coreServices, reportServices } from './services-report.ts'
import { isWanted } from './services.ts'
import { openRights } from './rights.ts'
import { ShownCredentials } from './shown.ts'
import { OwnNamespaces } from './own-namespaces.ts'
import { SqlNamespaces } from './sql-namespaces.ts'
import { transportOf } from './transport.ts'
import { createTrust } from './trust.ts'
import { createUpgradeActions } from './upgrade-actions.ts'

export type RunningNode = {
  readonly id: NodeId
  /** The cluster as this node and its peers see it. */
  status(): Promise<ClusterStatus>
  /** Gateways first; everything applied is durable when it settles. */
  stop(): Promise<void>
}

/** A forwarded keyspace request (1.5 MiB at most) fits into a call. */
const controlCallBytesMax = 2 * 1024 * 1024

export const systemGroup = groupId(1)
export const objectsGroup = groupId(2)
const etcdGroup = groupId(3)
const etcdQuotaBytes = 2 * 1024 * 1024 * 1024

export type StartOptions = {
  readonly signal?: AbortSignal
  /** Where raft keeps its snapshot files. Default: the host's own disk. */
  readonly snapshotDisk?: Disk
  /** The console's pages. Default: none, and its place says so. */
  readonly pages?: readonly ConsoleAsset[]
}

export async function startNode(
  config: NodeConfig,
  host: Host,
  options: StartOptions = {},
): Promise<RunningNode> {
  if (config.dataThreads > 1) {
    throw new Fault('unsupported', `${config.dataThreads} data threads: at most one for now`, {
      next: 'give --data-threads 1',
    })
  }
  if (config.control !== undefined && config.listen.etcd !== undefined) {
    throw new Fault('invalid', "etcd's API is not served while another etcd keeps the state", {
      next: 'start without --etcd, or without [control] in cluster.toml',
    })
  }
  const closers = new Closers()
  try {
    const core = await openCore(config, host, { closers, snapshotDisk: options.snapshotDisk })
    const lane = loadLane(core)
    await join(core, options.signal)
    return await openServers(core, lane, options)
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}

/** The node that the topology marks as the first leader stands for election sooner. */
const firstPriority = 8
const otherPriority = 4

type Core = StatusParts & {
  readonly config: NodeConfig
  readonly closers: Closers
  readonly keyspaces: Keyspaces
  readonly own: CoreKeyspaces | undefined
  readonly system: Keyspace
  readonly shown: ShownCredentials
  readonly guests: Guests
  readonly level: NodeLevel
  readonly trust: MemberTrust | undefined
  readonly heartbeats: Heartbeats | undefined
  /** Set once the data thread serves. */
  lane: Lane | undefined
  coreServices: () => readonly string[]
  isDropped: (group: GroupId) => boolean
}

async function openCore(
  config: NodeConfig,
  host: Host,
  {
    closers,
    snapshotDisk = host.disk,
  }: { readonly closers: Closers; readonly snapshotDisk: Disk | undefined },
): Promise<Core> {
  const startedMs = host.clock.monotonicMs()
  const { self } = config
  const { log, store, values } = await openState(config, host, closers)
  const transport = transportOf(config, host)
  const shown = new ShownCredentials()
  const guests = new Guests()
  const level = new NodeLevel((fault) => host.journal.fatal('node.program_too_old', fault))
  shown.add(({ identity }) => transport.replace?.(identity))
  const rpc = createRpc(host, {
    transport,
    listen: config.listen.control,
    limits: { callBytesMax: controlCallBytesMax },
    methods: controlCallers,
    level,
    isExpected: (id) => guests.isExpected(id, raft.groups()),
  })
  closers.add(() => rpc.close())
  const onFatal = (fault: Fault): void => host.journal.fatal('node.state_untrusted', fault)
  // Without the system group nothing here may go on; other groups stop each for itself.
  const onForeign = ({ group, relation, theirs }: Foreign): void => {
    if (relation !== 'superseded' || group !== systemGroup) return
    const fault = supersededFault(systemNamespace, theirs.generation)
    host.journal.fatal('node.superseded', fault)
  }
  const parts = { host, log, store, rpc, onFatal, onForeign, snapshotDisk }
  const snapshots = { path: snapshotsPathOf(config) }
  const raft = createRaft(parts, { self, snapshots, ...config.raft })
  closers.add(() => raft.close())
  const { keyspaces, own } = await openKeyspaces(config, { host, raft, rpc, store, values })
  closers.add(() => keyspaces.close())
  closers.add(() => handOver({ host, raft, rpc, self }))
  const system = await keyspaces.open(systemNamespace)
  await keyspaces.open(firstObjectsNamespace)
  const isLeader = (): boolean => raft.group(systemGroup)?.status().role === 'leader'
  const trust = createTrust({ config, host, system, rpc, shown, isLeader })
  closers.add(async () => trust?.close())
  const lane = undefined
  const coreServices = (): readonly string[] => []
  const isDropped = (): boolean => false
  const heartbeats = createHeartbeats({ host, raft, rpc, system, systemGroup, self })
  const opened = {
    keyspaces,
    own,
    system,
    heartbeats,
    lane,
    shown,
    trust,
    guests,
    level,
    coreServices,
    isDropped,
  }
  return { self, config, host, closers, startedMs, log, store, rpc, raft, ...opened }
}

/** `own`: over this node's groups. */
type Opened = { readonly keyspaces: Keyspaces; readonly own: CoreKeyspaces | undefined }

/** Over this node's groups, or over a cluster of etcd, in which case there are no groups. */
async function openKeyspaces(
  config: NodeConfig,
  parts: Omit<KeyspaceDependencies, 'self' | 'session'>,
): Promise<Opened> {
  const { self, control } = config
  const { host } = parts
  if (control !== undefined) {
    const { createEtcdKeyspaces } = await import('../keyspace/etcd/index.ts')
    return { keyspaces: createEtcdKeyspaces(host, control), own: undefined }
  }
  const founders = planFounders(config.founders)
  const isFirst = config.topology.db.some((db) => db.id === self && db.leader)
  const electionPriority = isFirst ? firstPriority : otherPriority
  const shape = { founders, hasReplica: true, electionPriority, quotaBytes: 0 }
  const namespaces = [
    { ...shape, name: systemNamespace, group: systemGroup },
    { ...shape, name: firstObjectsNamespace, group: objectsGroup },
    ...(config.listen.etcd === undefined ? [] : [etcdShape(shape)]),
  ]
  const session = { number: drawSession(host) }
  const own = await createKeyspaces({ ...parts, self, session }, { namespaces })
  return { keyspaces: own, own }
}

/** etcd's own default quota, and history for as long as nobody compacts it, as clients of etcd expect. */
const ofEtcd = {
  historyMs: Number.POSITIVE_INFINITY,
  historyRevisionsMax: Number.POSITIVE_INFINITY,
  quotaBytes: etcdQuotaBytes,
}

function etcdShape<T>(shape: T) {
  return { ...shape, ...ofEtcd, name: etcdNamespace, group: etcdGroup }
}

/** The group behind etcd's API, whichever it is; undefined as long as there is none here. */
function etcdGroupIn(raft: Raft): Group | undefined {
  return raft.groups().find((group) => group.status().name === etcdNamespace)
}

/** All at once: each waits for the disk, and the log for its thread. */
async function openState(config: NodeConfig, host: Host, closers: Closers) {
  const { db } = pathsOf(config)
  const { ownLogThread } = config
  const reserves = planReserves((await host.disk.space()).totalBytes)
  const opened = await Promise.allSettled([
    openLog(host, {
      path: `${db}/log`,
      ...(ownLogThread === undefined ? {} : { ownThread: ownLogThread }),
    }),
    openStore(host, {
      path: `${db}/store.sqlite`,
      tables: [raftTable, ...keyspaceTables, sqlTable],
    }),
    openSegments(host, {
      path: `${db}/values`,
      reserveBytes: config.reserveBytes ?? reserves.values,
    }),
  ])
  for (const part of opened) {
    if (part.status === 'fulfilled') closers.add(async () => part.value.close())
  }
  const [log, store, values] = opened
  if (log.status === 'rejected') throw log.reason
  if (store.status === 'rejected') throw store.reason
  if (values.status === 'rejected') throw values.reason
  return { log: log.value, store: store.value, values: values.value }
}

/** One boot of one node: 52 random bits, so that two boots never share a request id. */
function drawSession(host: Host): number {
  return host.random.integer(2 ** 26) * 2 ** 26 + host.random.integer(2 ** 26) + 1
}

/** Becomes part of the cluster: settles once its first state is committed and read here. */
async function join(core: Core, signal: AbortSignal | undefined): Promise<void> {
  const { config, host, rpc, system, trust, guests, level } = core
  // A cluster of etcd may not answer yet; founding waits for it.
  const local = await readLocalMembers(system).catch((error: unknown) => {
    if (config.control === undefined || !isFault(error)) throw error
    return undefined
  })
  guests.note(local?.members ?? [])
  level.follow(local?.level)
  rpc.setPeers(firstPeers(config, local?.members ?? []))
  rpc.serve(controlMethod.nodeStatus, async () => {
    return nodeStatusCodec.encode(await ownStatus(core, core.lane))
  })
  await trust?.prepare()
  await rpc.listen()
  trust?.begin()
  await foundCluster(
    { host, system },
    {
      clusterId: config.identity.clusterId,
      topology: config.topology,
      isFounder: config.founders.includes(config.self),
      founders: config.founders,
      ...(config.facts === undefined ? {} : { facts: config.facts }),
      ...(signal === undefined ? {} : { signal }),
    },
  )
  await trust?.seal(signal)
}

/** The data thread loads its code while the core joins; a failure of it is told by who waits for it. */
function loadLane({ config, host, keyspaces, closers, raft }: Core): Promise<Lane> {
  const lane = startLane(host, { config, keyspaces, etcdGroup: () => etcdGroupIn(raft) })
  const stop = lane.then(
    (started) => () => started.stop(),
    () => async () => undefined,
  )
  closers.add(async () => (await stop)())
  return lane
}

async function openServers(
  core: Core,
  loading: Promise<Lane>,
  { signal, pages = [] }: StartOptions,
): Promise<RunningNode> {
  const { config, host, closers, rpc, raft, system, self } = core
  const isReachable = (id: NodeId): boolean => rpc.isReachable(id)
  const waiting = signal === undefined ? {} : { signal }
  const cluster = await openCluster({ host, system, isReachable }, { self, ...waiting })
  closers.add(async () => cluster.close())
  const note = (): void => {
    core.guests.note(cluster.allMembers())
    core.level.follow(cluster.view.settings().level)
  }
  cluster.view.onChange(note)
  note()
  const unfollow = followMembership({
    host,
    raft,
    rpc,
    cluster,
    system,
    systemGroup,
    etcdGroup: () => etcdGroupIn(raft),
    self,
  })
  closers.add(async () => unfollow())
  if (config.topologyFile !== undefined) {
    const { topology, topologyFile: fileName } = config
    closers.add(followClusterFiles({ host, cluster, topology, self, fileName }))
  }
  core.heartbeats?.start(cluster)
  closers.add(async () => core.heartbeats?.close())
  closers.add(core.level.keep({ host, system, heartbeats: core.heartbeats }, cluster))
  const namespaces = await openUserNamespaces(core, cluster, waiting)
  const sql = await openSql(core, cluster, waiting)
  const services = await openServices(core, cluster, waiting)
  core.isDropped = (group) =>
    (namespaces?.hasLeft(group) ?? false) || (sql?.hasLeft(group) ?? false)
  closers.add(announceMember(config, host, system))
  core.trust?.keepSettings(cluster)
  const lane = await loading
  await serveSqlOf(config, lane, sql)
  core.shown.add((credentials) => lane.show(credentials))
  await lane.serve(signal)
  core.lane = lane
  closers.add(async () => {
    core.lane = undefined
  })
  const status = (): Promise<ClusterStatus> => clusterStatus(core, { cluster, lane: core.lane })
  if (config.listen.admin !== undefined)
    await serveAdmin(core, {
      status,
      lane,
      admin: config.listen.admin,
      namespaces,
      sql,
      services,
      cluster,
      pages,
    })
  return { id: self, status, stop: () => closers.closeAll() }
}

async function openServices(
  { host, system, own, self, closers, config }: Core,
  cluster: Cluster,
  waiting: Patience,
): Promise<OwnNamespaces | undefined> {
  if (own === undefined) return undefined
  const services = new OwnNamespaces({
    host,
    system,
    keyspaces: own,
    view: cluster.view,
    self,
    members: () => onlineOf(cluster),
    shape: ofEtcd,
    isByFlags: config.listen.etcd !== undefined,
  })
  closers.add(() => services.close())
  await services.start(waiting)
  return services
}

/** What the data thread's SQL port asks for. */
async function serveSqlOf(
  { listen }: NodeConfig,
  { sqlPort }: Lane,
  sql: SqlNamespaces | undefined,
): Promise<void> {
  if (listen.sql === undefined) return
  const { serveSqlLane } = await import('../sql/index.ts')
  serveSqlLane(sqlPort, sql)
}

async function openSql(
  core: Core,
  cluster: Cluster,
  waiting: Patience,
): Promise<SqlNamespaces | undefined> {
  const { config, own, closers } = core
  if (own === undefined) return undefined
  const folder = `${pathsOf(config).db}/sql`
  const isLevelReached = (): boolean => levelOf(cluster.view.settings()).supports('sql-databases')
  const members = (): readonly NodeId[] => onlineOf(cluster)
  const sql = new SqlNamespaces({ ...core, folder, members, isLevelReached })
  closers.add(() => sql.close())
  await sql.start(waiting)
  return sql
}

function onlineOf(cluster: Cluster): readonly NodeId[] {
  return cluster.allMembers().flatMap(({ id, state }) => (state === 'online' ? [id] : []))
}

async function openUserNamespaces(
  { host, raft, rpc, system, own, self, closers }: Core,
  cluster: Cluster,
  waiting: Patience,
): Promise<UserNamespaces | undefined> {
  if (own === undefined) return undefined
  const members = (): readonly NodeId[] => onlineOf(cluster)
  const namespaces = new UserNamespaces({ host, raft, rpc, system, keyspaces: own, members, self })
  closers.add(() => namespaces.close())
  await namespaces.start(waiting)
  return namespaces
}

async function serveAdmin(
  core: Core,
  serving: {
    readonly admin: Address
    readonly cluster: Cluster
    readonly status: () => Promise<ClusterStatus>
    readonly lane: Lane
    readonly namespaces: UserNamespaces | undefined
    readonly sql: SqlNamespaces | undefined
    readonly services: OwnNamespaces | undefined
    readonly pages: readonly ConsoleAsset[]
  },
): Promise<void> {
  const { config, host, closers, system, keyspaces, shown, raft } = core
  const { admin, cluster, lane } = serving
  const leader = () => raft.group(systemGroup)?.status().leader
  const registry = createRegistryActions({ ...core, cluster, lane, leader })
  const actions = {
    status: serving.status,
    replaceMember: (old: NodeId, signal: AbortSignal) => replaceMember(system, old, signal),
    scrub: () => lane.scrub(),
  }
  const desk = core.trust?.desk
  core.coreServices = () =>
    coreServices(cluster, {
      self: core.self,
      hasSql: serving.sql !== undefined,
      hasPages: serving.pages.length > 0,
      hasDesk: core.trust !== undefined,
    })
  const rights = openRights({ host, system, cluster, desk }, config.adminToken)
  closers.add(async () => rights.access.close())
  const prepare = async (name: string, value: unknown): Promise<void> =>
    serving.services?.prepare(name, value)
  const ofTrust = core.trust === undefined ? [] : trustRoutes(core.trust.desk, prepare)
  const parts = { parts: core, cluster, system, keyspaces, lane: () => core.lane }
  const { enter } = rights
  const people = createConsole({ host, system, enter })
  const streams = eventStreams(host, system)
  const routes = [
    ...nodeRoutes(actions),
    ...registryRoutes(registry),
    ...leavingRoutes(createLeavingActions(parts)),
    ...upgradeRoutes(createUpgradeActions({ ...parts, trust: core.trust })),
    ...raftRoutes(serving.namespaces),
    ...whileServed(sqlRoutes(serving.sql), 'sql', () => isServedHere(core, cluster, 'sql')),
    ...servicesRoutes(async () => {
      const heard = await hearAll(core, { cluster, lane: core.lane })
      const configured = await core.trust?.desk.config()
      const size = configured?.config.targetSize ?? heard.length
      return reportServices(cluster.view.settings(), size, heard)
    }),
    ...ofTrust,
    ...routesOfEnrolment(core, cluster),
    ...rights.routes,
    ...people.routes,
    ...streams.routes(),
  ]
  const authorise = people.authority(rights.authorise)
  const api = createAdminHandler({ host, routes, authorise, enter })
  const handler = servePages(serving.pages, api)
  const listener = await host.http.serve(admin, {
    tls: { ...config.serverTls, askedAuthorityPem: config.identity.authorityPem },
    handler,
    onMalformed: adminMalformed,
  })
  shown.add(({ serverTls, identity }) => {
    listener.replaceTls({ ...serverTls, askedAuthorityPem: identity.authorityPem })
  })
  closers.add(async () => {
    streams.close()
    await listener.close()
  })
  await answerSearches(core, { admin, closers, cluster })
}

function isServedHere({ self }: Core, { view }: Cluster, name: string): boolean {
  const own = view.members().find(({ id }) => id === self)
  return isWanted(name, own, view.settings())
}

function eventStreams({ clock }: Host, system: Keyspace): EventStreams {
  return new EventStreams(clock, {
    eventsAfter: (after, limit) => listEventsAfter(system, { after, limit }),
    newestEvents: async (limit) =>
      (await listEvents(system, { limit, isSerializable: true })).toReversed(),
    onChange: (changed) => system.onRevision(changed),
  })
}
