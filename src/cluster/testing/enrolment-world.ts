// A cluster's namespace in memory with a sealed authority, desks over it, and machines that ask to join: for tests of
// this room. Time stands until a test moves it.

import {
  type ClusterId,
  clusterId,
  Fault,
  fromHex,
  type NodeId,
  nodeId,
  type Random,
  seededRandom,
} from '../../base/index.ts'
import { createSignedPki, type Disk, type Host, type PemPair } from '../../host/index.ts'
import type { Member } from '../cluster.ts'
import { authorityName } from '../core/identity-names.ts'
import { parseJoinToken } from '../core/join-token.ts'
import {
  clusterCodec,
  clusterKey,
  counterCodec,
  memberCodec,
  memberKey,
  nodeCounterKey,
} from '../core/records.ts'
import { createDesk, type DeskDeps } from '../create-desk.ts'
import type { EnrolmentDesk, JoinAnswer, JoinFields, JoinKeys, PinnedServer } from '../enrolment.ts'
import { joinClient } from '../join-client.ts'
import { sealAuthority } from '../seal-authority.ts'
import type { TrustReport } from '../trust-report.ts'
import { MemoryKeyspace } from './memory-keyspace.ts'

export const ownCluster: ClusterId = clusterId('00112233445566778899aabbccddeeff')
export const startMs = 1_800_000_000_000
const dayMs = 86_400_000

export type TestHost = Pick<Host, 'pki' | 'clock' | 'random' | 'journal' | 'disk'> & {
  readonly events: string[]
  nowMs: number
}

export function testHost(random: Random = seededRandom(1)): TestHost {
  const events: string[] = []
  const host: TestHost = {
    events,
    nowMs: startMs,
    random,
    pki: createSignedPki(random),
    disk: memoryDisk(),
    clock: {
      wallMs: () => host.nowMs,
      monotonicMs: () => host.nowMs,
      sleep: async () => undefined,
      after: () => ({ cancel() {} }),
      every: () => ({ cancel() {} }),
      soon: (run) => void Promise.resolve().then(run),
    },
    journal: {
      event: (level, event) => void events.push(`${level} ${event}`),
      fatal(event, error): never {
        throw new Fault('internal', event, { cause: error })
      },
    },
  }
  return host
}

export function memoryDisk(files = new Map<string, Uint8Array>()): Disk & {
  readonly files: Map<string, Uint8Array>
} {
  const unused = (): never => {
    throw new Fault('unsupported', 'the disk of this test holds whole files only')
  }
  return {
    files,
    rootPath: '',
    open: async () => unused(),
    list: async () => [...files.keys()],
    exists: async (path) => files.has(path),
    async read(path) {
      const bytes = files.get(path)
      if (bytes === undefined) throw new Fault('not-found', path)
      return bytes
    },
    async replace(path, bytes) {
      files.set(path, bytes.slice())
    },
    async rename(from, to) {
      files.set(to, files.get(from) ?? unused())
      files.delete(from)
    },
    async remove(path) {
      files.delete(path)
    },
    syncDirectory: async () => undefined,
    space: async () => ({ freeBytes: 1, totalBytes: 1 }),
  }
}

export function memberAt(id: number, change: Partial<Member> = {}): Member {
  const at = (port: number) => ({ host: `10.11.12.${id}`, port })
  return {
    id: nodeId(id),
    name: `node${id}`,
    state: 'online',
    control: at(6660),
    bulk: at(9991),
    admin: at(7777),
    s3: at(9000),
    labels: {},
    caps: [],
    version: '0.1.0',
    capacityBytes: 0,
    replaces: undefined,
    ...change,
  }
}

export type EnrolmentWorld = {
  readonly host: TestHost
  readonly system: MemoryKeyspace
  readonly authority: PemPair
  readonly sealKey: Uint8Array
  /** What the server of every desk here shows: leaf and authority. */
  readonly chain: readonly string[]
  readonly desk: EnrolmentDesk
  /** Answers of askMember. */
  readonly reports: Map<NodeId, TrustReport>
  makeDesk(change?: Partial<DeskDeps>): EnrolmentDesk
  /** A machine that knows this token text and talks to this chain; it asks each time it is called. */
  machine(token: string | undefined, change?: Partial<JoinFields>): Promise<TestMachine>
  members(): Promise<readonly Member[]>
}

export type TestMachine = {
  readonly keys: JoinKeys
  readonly server: PinnedServer
  body(change?: Partial<JoinFields>): Promise<Uint8Array>
  ask(desk?: EnrolmentDesk): Promise<JoinAnswer>
}

/** One founder, node1 at 10.11.12.1. */
export async function makeWorld(): Promise<EnrolmentWorld> {
  const host = testHost()
  const system = new MemoryKeyspace()
  const validity = { notBeforeMs: startMs - dayMs, notAfterMs: startMs + 3650 * dayMs }
  const authority = await host.pki.makeAuthority({
    subjectName: authorityName(ownCluster),
    ...validity,
  })
  const sealKey = host.random.bytes(32)
  const founding = {
    clusterId: ownCluster,
    region: 'r',
    dataShards: 2,
    parityShards: 1,
    founders: [1],
  }
  await system.put(clusterKey, clusterCodec.encode(founding))
  await system.put(nodeCounterKey, counterCodec.encode({ value: 1 }))
  await system.put(memberKey(1), memberCodec.encode(memberAt(1)))
  await sealAuthority({ host, system }, { authority, sealKey, config: { targetSize: 3 } })
  const { requestPem } = await host.pki.makeRequest('server')
  const leafPem = await host.pki.issue(authority, {
    subjectName: 'server',
    uris: [],
    hosts: ['10.11.12.1'],
    usage: 'server',
    requestPem,
    ...validity,
  })
  const { keyHash } = await host.pki.readCertificate(leafPem)
  const chain = [leafPem, authority.certificatePem]
  const reports = new Map<NodeId, TrustReport>()
  const makeDesk = (change: Partial<DeskDeps> = {}): EnrolmentDesk => {
    const deps: DeskDeps = {
      host,
      system,
      sealKey: () => sealKey,
      topology: { db: [] },
      topologyText: () => 'version = "1.0"\n',
      serverKeyHashes: () => [keyHash],
      async askMember(id) {
        const report = reports.get(id)
        if (report === undefined) throw new Fault('unavailable', `node ${id} is silent`)
        return report
      },
      ...change,
    }
    return createDesk(deps, { self: nodeId(1), version: '0.1.0' })
  }
  const desk = makeDesk()
  return {
    host,
    system,
    authority,
    sealKey,
    chain,
    desk,
    reports,
    makeDesk,
    machine: (token, change) => makeMachine({ host, desk, chain }, token, change),
    async members() {
      const rangeEnd = new Uint8Array([...new TextEncoder().encode('member0')])
      const { kvs } = await system.range({ key: new TextEncoder().encode('member/'), rangeEnd })
      return kvs.map((kv) => memberCodec.decode(kv.value)).sort((a, b) => a.id - b.id)
    },
  }
}

async function makeMachine(
  world: Pick<EnrolmentWorld, 'host' | 'desk' | 'chain'>,
  tokenText: string | undefined,
  change: Partial<JoinFields> = {},
): Promise<TestMachine> {
  const { host, chain } = world
  const token = tokenText === undefined ? undefined : parseJoinToken(tokenText)
  const keys = await joinClient.makeJoinKeys(host, 'node2')
  const server = await joinClient.checkPinnedChain(host, chain, token?.pin)
  const own = memberAt(2)
  const body = async (more: Partial<JoinFields> = {}): Promise<Uint8Array> => {
    const fields: JoinFields = {
      clusterId: server.clusterId,
      name: 'node2',
      region: 'r',
      zone: 'a',
      control: own.control,
      bulk: own.bulk,
      admin: own.admin,
      s3: own.s3,
      caps: ['control'],
      labels: {},
      capacityBytes: 0,
      version: '0.1.0',
      ts: Math.floor(host.nowMs / 1000),
      ...change,
      ...more,
    }
    const asked = { fields, keys, server, ...(token === undefined ? {} : { token }) }
    return await joinClient.buildJoinRequest(host, asked)
  }
  return {
    keys,
    server,
    body,
    ask: async (desk = world.desk) => desk.admit(await body(), { remoteAddress: '10.11.12.2' }),
  }
}

export function bytesOf(hex: string): Uint8Array {
  return fromHex(hex) ?? new Uint8Array(0)
}
