// etcd's port on the data thread: its gateway over the namespace '/raft/etcd', with what the core thread tells of
// the group (term, leader, indexes), asked for every half second while the port is served.

import { Fault, isFault, nodeId, sha256, utf8Encode } from '../base/index.ts'
import { type Access, firstTenant } from '../access/index.ts'
import {
  bindOf,
  type ClusterView,
  formatAddress,
  levelOf,
  requireAddress,
  type Settings,
} from '../cluster/index.ts'
import {
  createEtcdHandler,
  type EtcdCluster,
  type EtcdGroup,
  type EtcdMember,
  refuseEtcd,
} from '../gateways/index.ts'
import type { Address, Host, HttpHandler, HttpServerOptions, Timer } from '../host/index.ts'
import type { FullKeyspaces, Keyspace } from '../keyspace/index.ts'
import type { NodeConfig } from './config.ts'
import { type EtcdRole, writeRole } from './etcd-roles.ts'
import type { LaneMessage } from './lane-messages.ts'
import { etcdNamespace } from './namespaces.ts'
import type { Gateway } from './services.ts'
import type { ShownCredentials } from './shown.ts'

const askEveryMs = 500
const movingMax = 16
const waitingMax = 1024
/** Below what a request may take. */
const roleMsMax = 5_000
const lookEveryMs = 50

const unknownGroup: EtcdGroup = {
  term: 0,
  leader: 0,
  commit: 0,
  applied: 0,
  isLearner: false,
  voters: [],
  learners: [],
  leaderChanges: 0,
}

/** The data thread's end of what the core tells of the group. */
export class EtcdLink {
  readonly #send: (message: LaneMessage) => void
  readonly #moving = new Map<number, (fault: Fault | undefined) => void>()
  #group: EtcdGroup = unknownGroup
  #requests = 0
  #timer: Timer | undefined
  /** Questions and answers so far: the core answers in order. */
  #asked = 0
  #told = 0
  #waiting: { readonly question: number; readonly settle: () => void }[] = []

  constructor(send: (message: LaneMessage) => void) {
    this.#send = send
  }

  get group(): EtcdGroup {
    return this.#group
  }

  #ask(): void {
    this.#asked++
    this.#send({ kind: 'group-wanted' })
  }

  /** Settles once the core has told the group for the first time. */
  begin(host: Host): Promise<void> {
    const told = this.refresh()
    this.#timer?.cancel()
    this.#timer = host.clock.every(askEveryMs, () => this.#ask())
    return told
  }

  /** Settles when the core has answered a question of now; also when this ends. */
  refresh(): Promise<void> {
    if (this.#waiting.length >= waitingMax)
      throw new Fault('overloaded', 'too many ask for members')
    return new Promise((resolve) => {
      this.#ask()
      this.#waiting.push({ question: this.#asked, settle: resolve })
    })
  }

  end(): void {
    this.#timer?.cancel()
    this.#settle(Number.POSITIVE_INFINITY)
    for (const settle of this.#moving.values())
      settle(new Fault('unavailable', "etcd's API is stopping here"))
    this.#moving.clear()
  }

  /** True when the message was for this. */
  take(told: LaneMessage): boolean {
    if (told.kind === 'group') {
      this.#group = told.group
      this.#told++
      this.#settle(this.#told)
      return true
    }
    if (told.kind !== 'leader-moved') return false
    this.#moving.get(told.request)?.(told.fault)
    this.#moving.delete(told.request)
    return true
  }

  #settle(upTo: number): void {
    for (let next = this.#waiting[0]; next !== undefined && next.question <= upTo; ) {
      this.#waiting.shift()
      next.settle()
      next = this.#waiting[0]
    }
  }

  moveLeader(to: number): Promise<void> {
    if (this.#moving.size >= movingMax) throw new Fault('overloaded', 'leadership moves already')
    const request = ++this.#requests
    return new Promise((resolve, reject) => {
      this.#moving.set(request, (fault) => (fault === undefined ? resolve() : reject(fault)))
      this.#send({ kind: 'leader-wanted', request, to })
    })
  }
}

export type EtcdParts = {
  readonly config: NodeConfig
  readonly access: Pick<Access, 'identifyCertificate'>
  readonly keyspaces: FullKeyspaces
  readonly view: ClusterView
  readonly system: Keyspace
  readonly link: EtcdLink
  readonly shown: ShownCredentials
}

/** Where the flags of the node say, or where the setting of the cluster does; neither: nowhere. */
export function etcdGateway(host: Host, parts: EtcdParts): Gateway {
  const { config, view, link } = parts
  const own = config.listen.etcd
  const served: Served = { at: own ?? config.listen.control, count: 0 }
  // One however often it is served: a handler listens to the keyspace for good.
  let handler: HttpHandler | undefined
  return {
    name: 'etcd',
    place: () => placeOf(config, view.settings()),
    async start(place) {
      handler ??= await openHandler(host, parts, served)
      const guarded = own === undefined ? guard(handler, parts) : handler
      const at = requireAddress(place)
      const end = await serve(host, { ...parts, at }, guarded).catch((error: unknown) => {
        if (served.count === 0) link.end()
        throw error
      })
      served.at = at
      served.count++
      return async () => {
        served.count--
        if (served.count === 0) link.end()
        await end()
      }
    },
  }
}

/** `at`: the newest place; `count`: for a moment two, while it moves. */
type Served = { at: Address; count: number }

function placeOf({ listen, control }: NodeConfig, settings: Settings): string | undefined {
  const set = bindOf(settings.services, 'etcd', listen.control.host)
  if (listen.etcd !== undefined) return formatAddress(set ?? listen.etcd)
  const isPossible = control === undefined && levelOf(settings).supports('etcd-by-setting')
  return set === undefined || !isPossible ? undefined : formatAddress(set)
}

/**
 * Who switched it on by a setting did not think of who reaches the port: unless the setting says otherwise, only programs with a
 * client certificate of the operator's (scope admin) are answered, and one that is revoked is refused within a second.
 * Streams (watches, leases kept alive) that it has begun before go on until they end.
 */
function guard(handler: HttpHandler, { access, view }: EtcdParts): HttpHandler {
  return async (request) => {
    if (view.settings().services?.etcd?.client_certificate === false) return await handler(request)
    const { clientCertificate } = request
    try {
      const known = clientCertificate && (await access.identifyCertificate(clientCertificate.hash))
      const isOperator = known?.tenant === firstTenant && known.scopes.includes('admin')
      return isOperator ? await handler(request) : refuseEtcd(request, stranger())
    } catch (error) {
      if (!isFault(error)) throw error
      return refuseEtcd(request, error)
    }
  }
}

function stranger(): Fault {
  return new Fault('unauthenticated', "etcd's API is for clients with a certificate", {
    next: '`atoll admin client-certificate create NAME --scopes admin` makes one',
  })
}

async function openHandler(host: Host, parts: EtcdParts, served: Served): Promise<HttpHandler> {
  const { config, keyspaces, view, system, link } = parts
  const keyspace = await keyspaces.open(etcdNamespace)
  const cluster: EtcdCluster = {
    clusterId: shortId(view.settings().clusterId),
    self: config.self,
    members: () => membersOf(config, view, served.at),
    isUp: (id) => view.isUp(nodeId(id)),
    group: () => link.group,
    refresh: () => link.refresh(),
    moveLeader: (to) => link.moveLeader(to),
    setRole: (id, role) => setRole(host, { system, link }, { id, role }),
  }
  const { etcdProgressMs: progressMs } = config
  return createEtcdHandler({
    host,
    keyspace,
    cluster,
    ...(progressMs === undefined ? {} : { progressMs }),
  })
}

async function serve(
  host: Host,
  { config, at, link, shown }: EtcdParts & { readonly at: Address },
  handler: HttpHandler,
): Promise<() => Promise<void>> {
  const tls = tlsOf(config)
  const server = { handler, http2: true, ...(tls === undefined ? {} : { tls }) }
  await link.begin(host)
  const listener = await host.http.serve(at, server)
  const forget =
    tls === undefined
      ? () => undefined
      : shown.add(({ serverTls, identity }) => {
          const { authorityPem: askedAuthorityPem } = identity
          const asked = tls.clientAuthorityPem === undefined ? { askedAuthorityPem } : {}
          listener.replaceTls({ ...tls, ...serverTls, ...asked })
        })
  return async () => {
    forget()
    await listener.close()
  }
}

/** By the flags of the node, or of its server certificate where a setting switched it on. */
function tlsOf({ etcdTls, listen, serverTls, identity }: NodeConfig): HttpServerOptions['tls'] {
  if (listen.etcd !== undefined) return etcdTls
  return { ...serverTls, askedAuthorityPem: identity.authorityPem }
}

/** etcd's ids are 64 bits; ours keep to those that every client counts exactly. */
function shortId(clusterId: string): number {
  const digest = sha256(utf8Encode(clusterId))
  return (
    new DataView(digest.buffer, digest.byteOffset).getUint32(0) * 2 ** 20 + ((digest[5] ?? 0) << 8)
  )
}

/** Everybody who is enrolled. Members are at the port that this node has, moved as their control port is. */
function membersOf(config: NodeConfig, view: ClusterView, at: Address): readonly EtcdMember[] {
  const { control } = config.listen
  const scheme = tlsOf(config) === undefined ? 'http' : 'https'
  const shift = at.port - control.port
  return view.members().map((member) => ({
    id: member.id,
    name: member.name,
    peerUrls: [`https://${formatAddress(member.control)}`],
    clientUrls: [
      `${scheme}://${formatAddress({ host: member.control.host, port: member.control.port + shift })}`,
    ],
  }))
}

/**
 * Writes the role and waits until the group's configuration has it. Fault 'deadline' when it does not come about in
 * time: the role stands, and its leader will follow it when it can.
 */
async function setRole(
  host: Host,
  { system, link }: { readonly system: Keyspace; readonly link: EtcdLink },
  wanted: { readonly id: number; readonly role: EtcdRole },
): Promise<void> {
  const { id, role } = wanted
  await writeRole(system, id, role)
  const endMs = host.clock.monotonicMs() + roleMsMax
  while (!hasRole(link.group, id, role)) {
    if (host.clock.monotonicMs() >= endMs) {
      throw new Fault('deadline', `node ${id} did not become ${role} in time`, {
        outcome: 'unknown',
      })
    }
    await link.refresh()
    if (!hasRole(link.group, id, role)) await host.clock.sleep(lookEveryMs)
  }
}

function hasRole({ voters, learners }: EtcdGroup, id: number, role: EtcdRole): boolean {
  if (role === 'voter') return voters.includes(id)
  if (role === 'learner') return learners.includes(id)
  return !voters.includes(id) && !learners.includes(id)
}
