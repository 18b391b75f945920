// A network namespace per node, joined by a bridge. This process lives in a namespace of its own already
// (`unshare --net --mount`, see main.ts), so whatever it makes ends with it.
//
// A partition is a neighbour entry of the kernel: towards the other's address frames go to a hardware address that
// nobody has. That is one way, needs no firewall, and looks to both sides like loss: no answer, no reset. Loss of what
// comes in is a rule of nftables where that is installed. One node is delayed by the kernel's netem, which not every machine
// has; a slow way for all is slow-path.ts.

import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, type Random } from '../../src/base/index.ts'
import { formCluster, readFormation } from '../../src/cli/formation.ts'
import { readTopology, writeTopology } from '../../src/cli/node-dir.ts'
import { planPorts } from '../../src/cli/ports.ts'
import { planTopology, type Topology, topologyDefaults } from '../../src/cluster/index.ts'
import type { FormedCluster } from './machines.ts'
import { hardwareAddressOf, SlowPath, slowPathPort, type SlowWay } from './slow-path.ts'

export const bridgeHost = '10.77.0.254'
const bridge = 'atoll'
const nobody = '02:00:00:00:de:ad'

export function hostOf(position: number): string {
  return `10.77.0.${position + 1}`
}

/** A second address, for the packets that carry the frames of the slow way. */
function underlayOf(position: number): string {
  return `10.77.0.${position + 101}`
}

function namespaceOf(position: number): string {
  return `atoll-${position + 1}`
}

/** Undefined, or why nodes cannot have networks of their own on this machine. */
export function whyNoNetworks(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const tried = spawnSync('unshare', [
    ...['--net', '--mount', 'ip', 'link'],
    ...['add', 'name', bridge, 'type', 'bridge'],
  ])
  if (tried.error !== undefined) return `unshare cannot be run: ${tried.error.message}`
  if (tried.status !== 0) return `the machine forbids network namespaces: ${tried.stderr}`.trim()
  return undefined
}

/**
 * A cluster at these addresses, unless the directory holds one: what `atoll up` writes before it starts nodes, which
 * it could not start here, all in one namespace.
 */
export async function formAtAddresses(dataDir: string, count: number): Promise<FormedCluster> {
  let formation = readFormation(dataDir)
  if (formation === undefined) {
    ip('link set lo up')
    for (let at = 0; at < count; at++) ip(`addr add ${hostOf(at)}/32 dev lo`)
    writeTopology(dataDir, plan(count))
    formation = await formCluster(dataDir, { nodes: count, rs, ports: planPorts(0, {}) })
    for (let at = 0; at < count; at++) ip(`addr del ${hostOf(at)}/32 dev lo`)
  }
  const topology = readTopology(dataDir)
  const [auth] = topology?.auth ?? []
  if (topology === undefined || auth === undefined) {
    throw new Fault('not-found', `${dataDir} holds no whole cluster`)
  }
  const { accessKeyId, secretAccessKey } = auth
  const nodes = formation.slots.map(({ id, slot, host, ports }) => ({
    id,
    s3: `http://127.0.0.1:${ports.s3}`,
    admin: `https://${host}:${ports.admin}`,
    dataDir: join(dataDir, `node-${slot}`),
  }))
  return { accessKeyId, secretAccessKey, region: topology.region, nodes }
}

const rs = { data: 2, parity: 1 }

function plan(count: number): Topology {
  const addresses = Array.from({ length: count }, (_, at) => {
    const { controlPort, bulkPort } = topologyDefaults
    return { host: hostOf(at), controlPort, bulkPort }
  })
  const auth = [{ accessKeyId: 'AKIATORTURE000000000', secretAccessKey: 'x'.repeat(40) }]
  const { region, s3TlsPort } = topologyDefaults
  const s3Tls = { host: topologyDefaults.host, port: s3TlsPort }
  return planTopology({ region, rs, s3Tls, addresses, buckets: ['predastore'], auth })
}

export class Networks {
  readonly canDelay: boolean
  /** Whether slow() can be had: openSlowPath(). */
  readonly canBeSlow: boolean
  lastFault = 'none'
  readonly #count: number
  readonly #cuts = new Set<string>()
  readonly #delayed = new Set<number>()
  readonly #filtered = new Set<number>()
  /** Pairs whose packets go the slow way. */
  readonly #slow = new Set<string>()
  #slowPath: SlowPath | undefined
  /** Where a position is that has moved. */
  readonly #moved = new Map<number, string>()

  constructor(count: number) {
    this.#count = count
    mkdirSync('/run/netns', { recursive: true })
    spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run/netns'])
    ip(`link add ${bridge} type bridge`)
    ip(`addr add ${bridgeHost}/24 dev ${bridge}`)
    ip(`link set ${bridge} up`)
    for (let at = 0; at < count; at++) {
      const name = namespaceOf(at)
      ip(`netns add ${name}`)
      ip(`link add v${at} type veth peer name eth0 netns ${name}`)
      ip(`link set v${at} master ${bridge} up`)
      ip(`-n ${name} link set lo up`)
      ip(`-n ${name} addr add ${hostOf(at)}/24 dev eth0`)
      ip(`-n ${name} link set eth0 up`)
    }
    this.canDelay = this.#tryDelay()
    this.canBeSlow = this.#trySlow()
  }

  /** What a command of this node begins with. */
  prefix(position: number): readonly string[] {
    return ['ip', 'netns', 'exec', namespaceOf(position)]
  }

  /** From everybody else among the nodes; clients are not cut off. */
  cutNode(position: number, way: 'both' | 'out' | 'in'): void {
    for (let other = 0; other < this.#count; other++) {
      if (other === position) continue
      if (way !== 'in') this.#cut(position, other)
      if (way !== 'out') this.#cut(other, position)
    }
    this.lastFault = way === 'both' ? 'one node cut off' : `one node cut off one way (${way})`
  }

  cutOneWay(from: number, to: number): void {
    this.#cut(from, to)
    this.lastFault = 'one link cut one way'
  }

  /** Undefined: nftables is not there. */
  static whyNoFilter(): string | undefined {
    const tried = spawnSync('nft', ['list', 'tables'])
    if (tried.error !== undefined) return 'nftables is not installed'
    return tried.status === 0 ? undefined : `the kernel has no nftables: ${tried.stderr}`.trim()
  }

  /** This share of what comes in at a position is dropped: of everything, or of what one other sends. */
  lose(position: number, what: { readonly from?: number; readonly percent: number }): void {
    const { from, percent } = what
    const sender = from === undefined ? '' : `ip saddr ${this.hostOf(from)}`
    const chance = percent < 100 ? `numgen random mod 100 < ${percent}` : ''
    const table = `netns exec ${namespaceOf(position)} nft`
    ip(`${table} add table ip loss`)
    ip(`${table} add chain ip loss in {type filter hook input priority 0;}`)
    ip(`${table} add rule ip loss in ${sender} ${chance} drop`.replace(/ +/g, ' '))
    this.#filtered.add(position)
    this.lastFault = from === undefined ? 'one node loses packets' : 'one link loses packets'
  }

  /** Once: the slow way of slow(). Ends with close(). */
  async openSlowPath(random: Random): Promise<void> {
    const hostOf = (position: number): string => underlayOf(position)
    this.#slowPath = await SlowPath.open(bridgeHost, { random, hostOf })
    for (let at = 0; at < this.#count; at++) {
      const name = namespaceOf(at)
      ip(`-n ${name} addr add ${underlayOf(at)}/24 dev eth0`)
      const ends = `local ${underlayOf(at)} remote ${bridgeHost} dstport ${slowPathPort}`
      ip(`-n ${name} link add slow type vxlan id 1 ${ends} dev eth0 nolearning`)
      ip(`-n ${name} link set slow address ${hardwareAddressOf(at)} gso_max_segs 1 up`)
      ip(`netns exec ${name} sysctl -qw net.ipv4.conf.all.rp_filter=0`)
      ip(`netns exec ${name} sysctl -qw net.ipv4.conf.slow.rp_filter=0`)
    }
  }

  /** Between all nodes, both ways. */
  slow(way: SlowWay): void {
    this.#slowPath?.be(way)
    for (let from = 0; from < this.#count; from++) {
      for (let to = 0; to < this.#count; to++) if (from !== to) this.#goSlowly(from, to)
    }
    this.lastFault = 'all links slow'
  }

  /** Frames that were held, and that were dropped, on the slow way. */
  get slowFrames(): { readonly passed: number; readonly dropped: number } {
    const { passed = 0, dropped = 0 } = this.#slowPath ?? {}
    return { passed, dropped }
  }

  close(): void {
    this.#slowPath?.close()
  }

  hostOf(position: number): string {
    return this.#moved.get(position) ?? hostOf(position)
  }

  /** The machine's address is another from now on. */
  move(position: number, host: string): void {
    const name = namespaceOf(position)
    ip(`-n ${name} addr del ${this.hostOf(position)}/24 dev eth0`)
    ip(`-n ${name} addr add ${host}/24 dev eth0`)
    this.#moved.set(position, host)
  }

  delay(position: number, ms: number): void {
    ip(`netns exec ${namespaceOf(position)} tc qdisc add dev eth0 root netem delay ${ms}ms 20ms`)
    this.#delayed.add(position)
    this.lastFault = 'one node delayed'
  }

  heal(): void {
    for (const cut of this.#cuts) {
      const [from = 0, to = 0] = cut.split('>').map(Number)
      ip(`-n ${namespaceOf(from)} neigh del ${this.hostOf(to)} dev eth0`)
    }
    this.#cuts.clear()
    for (const pair of this.#slow) {
      const [from = 0, to = 0] = pair.split('>').map(Number)
      ip(`-n ${namespaceOf(from)} route del ${this.hostOf(to)}/32 dev slow`)
    }
    this.#slow.clear()
    for (const position of this.#filtered) {
      ip(`netns exec ${namespaceOf(position)} nft delete table ip loss`)
    }
    this.#filtered.clear()
    for (const position of this.#delayed) {
      ip(`netns exec ${namespaceOf(position)} tc qdisc del dev eth0 root`)
    }
    this.#delayed.clear()
  }

  #cut(from: number, to: number): void {
    const entry = `${this.hostOf(to)} lladdr ${nobody} dev eth0 nud permanent`
    ip(`-n ${namespaceOf(from)} neigh replace ${entry}`)
    this.#cuts.add(`${from}>${to}`)
  }

  #goSlowly(from: number, to: number): void {
    const [name, host] = [namespaceOf(from), this.hostOf(to)]
    ip(`-n ${name} neigh replace ${host} lladdr ${hardwareAddressOf(to)} dev slow nud permanent`)
    ip(`-n ${name} route replace ${host}/32 dev slow src ${this.hostOf(from)}`)
    this.#slow.add(`${from}>${to}`)
  }

  #trySlow(): boolean {
    const link = ['-n', namespaceOf(0), 'link']
    const ends = ['remote', bridgeHost, 'dstport', String(slowPathPort), 'dev', 'eth0']
    const added = spawnSync('ip', [...link, 'add', 'slow', 'type', 'vxlan', 'id', '1', ...ends])
    if (added.status === 0) spawnSync('ip', [...link, 'del', 'slow'])
    return added.status === 0
  }

  #tryDelay(): boolean {
    const exec = ['netns', 'exec', namespaceOf(0), 'tc', 'qdisc']
    const rule = ['dev', 'eth0', 'root']
    const added = spawnSync('ip', [...exec, 'add', ...rule, 'netem', 'delay', '1ms'])
    if (added.status !== 0) return false
    spawnSync('ip', [...exec, 'del', ...rule])
    return true
  }
}

function ip(args: string): void {
  const ran = spawnSync('ip', args.split(' '))
  if (ran.status !== 0) throw new Fault('internal', `ip ${args}: ${ran.stderr}`)
}
