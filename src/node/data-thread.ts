// The data thread: gateways, TLS to clients, hashes, coding, shard segments and bulk rpc, away from the
// core's timers. It owns no replicated state: keyspaces are asked over its port.
//
// It serves when the core says so, which is once the cluster's state can be read, and ends when the core
// says stop: first the gateways, so that no new request comes, then what they stand on. A start that is under way
// then is given up. A failure to start is told to the core instead of thrown: it is an answer for people (a taken
// port), not a broken thread.

import { openAccess } from '../access/index.ts'
import { type NodeId, toFault } from '../base/index.ts'
import {
  type Cluster,
  type ClusterView,
  bindOf,
  createChooseHolders,
  firstObjectsNamespace,
  formatAddress,
  type Member,
  openCluster,
  requireAddress,
  systemNamespace,
} from '../cluster/index.ts'
import { createContent } from '../content/index.ts'
import { createS3Handler, s3Malformed } from '../gateways/index.ts'
import type { Address, Host, HttpHandler, Port } from '../host/index.ts'
import { createLaneKeyspaces, type FullKeyspaces } from '../keyspace/index.ts'
import { createObjects } from '../objects/index.ts'
import { bulkCallers, createRpc, type Rpc } from '../rpc/index.ts'
import { openSegments } from '../storage/index.ts'
import { Closers } from './closers.ts'
import { decodeConfig, type NodeConfig, pathsOf, planFileBytes, planReserves } from './config.ts'
import { followDrain } from './drain.ts'
import { EtcdLink, etcdGateway } from './etcd-lane.ts'
import { type LaneMessage, laneMessageCodec, type ScrubResult } from './lane-messages.ts'
import { laneChannel, muxPort } from './port-mux.ts'
import { sqlGateways } from './sql-lane.ts'
import { answerPlacement, type PlacementQuestion } from './placement-desk.ts'
import { encodableContent, type LaneStatus } from './status.ts'
import { type Gateway, isWanted, Services } from './services.ts'
import { ShownCredentials } from './shown.ts'
import { transportOf } from './transport.ts'

/** A read of the object count that takes longer is left out of a status. */
const totalsDeadlineMs = 700

export async function runDataThread(host: Host, port: Port, input: Uint8Array): Promise<void> {
  const config = decodeConfig(input)
  const [keyspacePort, control, sqlPort] = muxPort(port, laneChannel.count)
  if (keyspacePort === undefined || control === undefined || sqlPort === undefined) return
  const closers = new Closers()
  const send = (message: LaneMessage): void => control.send(laneMessageCodec.encode(message))
  const link = new EtcdLink(send)
  const shown = new ShownCredentials()
  const ended = new AbortController()
  let served: Promise<Served> | undefined
  const begin = async (): Promise<void> => {
    try {
      served = serve(host, {
        config,
        keyspacePort,
        sqlPort,
        closers,
        link,
        shown,
        signal: ended.signal,
      })
      await served
      send({ kind: 'serving' })
    } catch (error) {
      await closers.closeAll()
      send({ kind: 'failed', fault: toFault(error) })
    }
  }
  const end = async (): Promise<void> => {
    ended.abort()
    // What it opens after the closing began would stay open.
    await served?.catch(() => undefined)
    await closers.closeAll()
    send({ kind: 'stopped' })
  }
  control.onMessage = (bytes) => {
    const asked = laneMessageCodec.decode(bytes)
    const isFatal = (error: unknown): void => host.journal.fatal('node.data_thread_failed', error)
    if (link.take(asked)) return
    if (asked.kind === 'credentials') shown.show(asked.credentials)
    else if (asked.kind === 'serve') begin().catch(isFatal)
    else if (asked.kind === 'stop') end().catch(isFatal)
    else if (served !== undefined) answerRequest(asked, { served, send }).catch(isFatal)
  }
}

type Served = {
  status(): Promise<LaneStatus>
  scrub(): Promise<ScrubResult>
  ask(question: PlacementQuestion): Promise<unknown>
}

async function answerRequest(
  asked: LaneMessage,
  lane: { readonly served: Promise<Served>; readonly send: (message: LaneMessage) => void },
): Promise<void> {
  const { status, scrub, ask } = await lane.served
  if (asked.kind === 'status-wanted') {
    lane.send({ kind: 'status', request: asked.request, status: await status() })
  } else if (asked.kind === 'scrub-wanted') {
    const result = await scrub().catch(toFault)
    lane.send({ kind: 'scrubbed', request: asked.request, result })
  } else if (asked.kind === 'asked') {
    const question = JSON.parse(asked.json) as PlacementQuestion
    const result = await ask(question).then((answer) => JSON.stringify(answer), toFault)
    lane.send({ kind: 'answered', request: asked.request, result })
  }
}

type Lane = {
  readonly config: NodeConfig
  readonly keyspacePort: Port
  readonly sqlPort: Port
  readonly closers: Closers
  readonly link: EtcdLink
  readonly shown: ShownCredentials
  /** Ends a start that waits for the cluster. */
  readonly signal: AbortSignal
}

/** Builds everything of this thread; answers how to ask it for its status and for a scrub. */
async function serve(host: Host, lane: Lane) {
  const { config, keyspacePort, sqlPort, closers, link, shown, signal } = lane
  const { self } = config
  const keyspaces = await openKeyspaces(host, { config, keyspacePort })
  closers.add(() => keyspaces.close())
  const transport = transportOf(config, host)
  shown.add(({ identity }) => transport.replace?.(identity))
  const rpc = createRpc(host, {
    transport,
    listen: config.listen.bulk,
    methods: bulkCallers,
  })
  closers.add(() => rpc.close())
  const system = await keyspaces.open(systemNamespace)
  const isReachable = (id: NodeId): boolean => rpc.isReachable(id)
  const cluster = await openCluster({ host, system, isReachable }, { self, signal })
  closers.add(async () => cluster.close())
  followPeers(cluster, rpc, self)
  const { totalBytes } = await host.disk.space()
  const { shards } = planReserves(totalBytes)
  const segments = await openSegments(host, {
    path: `${pathsOf(config).nodes}/shards`,
    fileBytesMax: planFileBytes(totalBytes),
    reserveBytes: config.reserveBytes ?? shards,
  })
  closers.add(() => segments.close())
  const { view, admin } = cluster
  const access = openAccess({ host, system })
  closers.add(async () => access.close())
  const namespaces = [firstObjectsNamespace]
  const content = createContent(
    { host, rpc, segments, view, keyspaces, chooseHolders: createChooseHolders() },
    { self, namespaces, lowDiskBytes: shards * 1.5, ...config.content },
  )
  closers.add(() => content.close())
  const unfollow = followDrain({ host, cluster, system, content, self })
  closers.add(async () => unfollow())
  const objects = createObjects(
    { host, view, admin, keyspaces, content },
    { namespaces, isTrashMine: () => isLowestUp(cluster, self) },
  )
  closers.add(async () => objects.close())
  await rpc.listen()
  const handler = createS3Handler(
    { host, objects, view, admin, access },
    { region: view.settings().region },
  )
  const ofEtcd = { config, keyspaces, view, system, link, shown, access }
  const gateways = [
    ...s3Gateways(host, { config, handler, shown, view }),
    etcdGateway(host, ofEtcd),
    ...sqlGateways(host, { config, sqlPort, access, shown }),
  ]
  const services = new Services(host, gateways, (name) =>
    isWanted(name, ownIn(view, self), view.settings()),
  )
  closers.add(() => services.close())
  await services.begin()
  view.onChange(() => services.follow())
  services.follow()
  const status = async (): Promise<LaneStatus> => {
    const deadline = host.clock.sleep(totalsDeadlineMs).then(() => 0)
    const counted = objects.totals().then(
      (totals) => totals.objects + 1,
      () => 0,
    )
    const counts = await Promise.race([counted, deadline])
    return {
      content: encodableContent(content.status(), host.clock.monotonicMs()),
      objects: counts,
      services: services.running,
    }
  }
  const desk = { view, keyspaces, content, objects }
  const ask = (question: PlacementQuestion) => answerPlacement(desk, question)
  return { status, scrub: () => content.runScrub(), ask }
}

function ownIn(view: ClusterView, self: NodeId): Member | undefined {
  return view.members().find((member) => member.id === self)
}

/** Plain HTTP where the node's own file says; TLS there, or where the cluster's setting says. */
function s3Gateways(
  host: Host,
  parts: {
    readonly config: NodeConfig
    readonly handler: HttpHandler
    readonly shown: ShownCredentials
    readonly view: ClusterView
  },
): readonly Gateway[] {
  const { config, handler, shown, view } = parts
  const { s3, s3Tls } = config.listen
  const server = { handler, onMalformed: s3Malformed }
  const plain = async (at: Address) => (await host.http.serve(at, server)).close
  const secured = async (place: string) => {
    const at = requireAddress(place)
    const listener = await host.http.serve(at, { ...server, tls: config.serverTls })
    const forget = shown.add(({ serverTls }) => listener.replaceTls(serverTls))
    return async () => {
      forget()
      await listener.close()
    }
  }
  return [
    ...(s3 === undefined ? [] : [{ name: 's3', part: 'http', start: () => plain(s3) }]),
    ...(s3Tls === undefined
      ? []
      : [
          {
            name: 's3',
            part: 'tls',
            place: () => formatAddress(bindOf(view.settings().services, 's3', s3Tls.host) ?? s3Tls),
            start: secured,
          },
        ]),
  ]
}

/** Over the core's port, or over the thread's own connection to a cluster of etcd. */
async function openKeyspaces(
  host: Host,
  { config, keyspacePort }: Pick<Lane, 'config' | 'keyspacePort'>,
): Promise<FullKeyspaces> {
  if (config.control === undefined) return createLaneKeyspaces(host, keyspacePort)
  const { createEtcdKeyspaces } = await import('../keyspace/etcd/index.ts')
  return createEtcdKeyspaces(host, config.control)
}

function followPeers(cluster: Cluster, rpc: Rpc, self: NodeId): void {
  const tell = (): void => {
    const others = cluster.view.members().filter((member) => member.id !== self)
    rpc.setPeers(new Map(others.map((member) => [member.id, member.bulk])))
  }
  cluster.view.onChange(tell)
  tell()
}

/** Background work that one member does for all: the first that is up, as this node sees it. */
function isLowestUp({ view }: Cluster, self: NodeId): boolean {
  return view.members().find((member) => view.isUp(member.id))?.id === self
}
