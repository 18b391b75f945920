// One node's directory: writing it when the node gets its identity, reading it into a NodeConfig when
// the node starts. `cluster.toml` may also be called predastore.toml; both at once is refused.

import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ClusterId, clusterId, Fault, type NodeId, nodeId } from '../base/index.ts'
import {
  type NodeFile,
  parseNodeFile,
  parseTopology,
  renderNodeFile,
  resolveNodeId,
} from '../cluster/files.ts'
import { identityFiles, renderTopology, type Topology } from '../cluster/index.ts'
import type { NodeConfig } from '../node/index.ts'
import type { PemPair } from './authority.ts'
import { readText, requireText, writeText } from './files.ts'
import { readEnrolment, readPair, writeFounderSecrets } from './node-trust.ts'
import { clusterFileNames, nodePaths } from './paths.ts'

/** The topology of a directory under either of its names; undefined when there is none. */
export function readTopology(
  dir: string,
  options: { readonly mayGrow?: boolean } = {},
): Topology | undefined {
  const found = clusterFileNames.filter((name) => existsSync(join(dir, name)))
  const name = found[0]
  if (name === undefined) return undefined
  if (found.length > 1) {
    throw new Fault('invalid', `${dir} holds both ${found.join(' and ')}`, {
      next: 'keep one of them',
    })
  }
  return parseTopology(requireText(join(dir, name)), name, options)
}

export type NodeDirPlan = {
  readonly clusterId: ClusterId
  readonly authority: PemPair
  readonly adminToken: string
  /** Absent: a cluster that began before there were any. */
  readonly sealKeyHex?: string | undefined
  /** It founds the cluster, and brings the authority's key into it. */
  readonly isFounder?: boolean
  readonly topology: Topology
  readonly self: NodeId
  readonly file: NodeFile
}

/** Makes everything a node needs to start, its certificates included. */
export async function writeNodeDir(nodeDir: string, plan: NodeDirPlan): Promise<void> {
  const paths = nodePaths(nodeDir)
  const entry = plan.topology.db.find((db) => db.id === plan.self)
  if (entry === undefined) throw new Fault('invalid', `no [[db]] entry for node ${plan.self}`)
  const { host } = entry
  const { issueNodeCertificate, issueServerCertificate } = await import('./authority.ts')
  const own = await issueNodeCertificate(plan.authority, {
    clusterId: plan.clusterId,
    id: plan.self,
    host,
  })
  const server = await issueServerCertificate(plan.authority, { id: plan.self, hosts: [host] })
  const secret = { isSecret: true }
  writeText(paths.clusterId, `${plan.clusterId}\n`)
  writeText(paths.authorityCertificate, plan.authority.certificatePem)
  writeText(paths.certificate, own.certificatePem)
  writeText(paths.privateKey, own.privateKeyPem, secret)
  writeText(paths.serverCertificate, server.certificatePem)
  writeText(paths.serverKey, server.privateKeyPem, secret)
  writeText(paths.adminToken, `${plan.adminToken}\n`, secret)
  const { sealKeyHex } = plan
  if (sealKeyHex !== undefined) {
    const authorityKeyPem = plan.isFounder === true ? plan.authority.privateKeyPem : undefined
    writeFounderSecrets(nodeDir, { sealKeyHex, authorityKeyPem })
  }
  writeTopology(nodeDir, plan.topology)
  writeText(paths.node, renderNodeFile(plan.file))
}

/** Keeps the name that the file already has. */
export function writeTopology(dir: string, topology: Topology): void {
  const name = clusterFileNames.find((known) => existsSync(join(dir, known))) ?? 'cluster.toml'
  writeText(join(dir, name), renderTopology(topology), { isSecret: true })
}

/** The identity that a node directory holds; undefined when it holds none (new or deleted). */
export function hasIdentity(nodeDir: string): boolean {
  const paths = nodePaths(nodeDir)
  return [paths.node, paths.certificate, paths.privateKey].every((path) => existsSync(path))
}

/**
 * Who the directory's own certificate says that this is. A node that was alone when its files were written has no id in
 * node.toml, and cluster.toml lists others once they have joined.
 */
export function certifiedId(nodeDir: string): NodeId | undefined {
  const pem = readText(nodePaths(nodeDir).certificate)
  if (pem === undefined) return undefined
  const { subjectAltName = '' } = new X509Certificate(pem)
  const id = /URI:atoll:\/\/[^/,]+\/node\/(\d{1,10})(?:,|$)/.exec(subjectAltName)?.[1]
  return id === undefined ? undefined : nodeId(Number(id))
}

export function readNodeFile(nodeDir: string): NodeFile {
  const topology = readTopology(nodeDir, { mayGrow: true })
  if (topology === undefined) throw new Fault('not-found', `${nodeDir} holds no cluster.toml`)
  return parseNodeFile(readText(nodePaths(nodeDir).node) ?? '', topology)
}

export function writeNodeFile(nodeDir: string, file: NodeFile): void {
  writeText(nodePaths(nodeDir).node, renderNodeFile(file))
}

/** How a node serves etcd's API. */
export type EtcdFlags = {
  /** Of the node's own address. */
  readonly port: number
  readonly isTls: boolean
  /** A file of certificates: only clients that one of them signed are let in, over TLS. */
  readonly clientAuthority?: string | undefined
  /** Between two notices of progress to a quiet watch that asked for them. */
  readonly progressSeconds?: number | undefined
}

/** How a node serves rqlite's HTTP API. */
export type SqlFlags = {
  /** Of the node's own address. */
  readonly port: number
  readonly isTls: boolean
}

export function loadNodeConfig(
  nodeDir: string,
  options: {
    readonly dataThreads: number
    readonly bindHost?: string | undefined
    readonly etcd?: EtcdFlags | undefined
    readonly sql?: SqlFlags | undefined
    readonly sharedKeyHex?: string | undefined
  },
): NodeConfig {
  const paths = nodePaths(nodeDir)
  const topology = readTopology(nodeDir, { mayGrow: true })
  if (topology === undefined) {
    throw new Fault('not-found', `${nodeDir} holds no cluster.toml`, {
      next: 'start the cluster with `atoll up`, which makes it',
    })
  }
  const file = parseNodeFile(readText(paths.node) ?? '', topology)
  const self = resolveNodeId(topology, {
    environment: process.env,
    file: file.id ?? certifiedId(nodeDir),
    bindHost: options.bindHost,
  })
  return Object.freeze({
    self,
    identity: {
      nodeId: self,
      clusterId: clusterId(requireText(paths.clusterId).trim()),
      authorityPem: requireText(paths.authorityCertificate),
      ...readPair(nodeDir, {
        certificate: identityFiles.certificate,
        key: identityFiles.privateKey,
        keyNext: identityFiles.privateKeyNext,
      }),
    },
    topology,
    ...factsOf(nodeDir, file),
    founders: file.founders.length > 0 ? file.founders : topology.db.map((db) => db.id),
    listen: listenOf(topology, file, {
      self,
      etcdPort: options.etcd?.port,
      sqlPort: options.sql?.port,
    }),
    ...etcdTlsOf(paths, options.etcd),
    ...(options.sql?.isTls === true ? { isSqlTls: true } : {}),
    ...etcdProgressOf(options.etcd),
    ...controlOf(topology, nodeDir),
    serverTls: readPair(nodeDir, {
      certificate: identityFiles.serverCertificate,
      key: identityFiles.serverKey,
      keyNext: identityFiles.serverKeyNext,
    }),
    ...enrolmentOf(nodeDir, topology, { ...options, targetSize: file.targetSize }),
    adminToken: requireText(paths.adminToken).trim(),
    dataThreads: options.dataThreads,
    ...(options.sharedKeyHex === undefined ? {} : { sharedKeyHex: options.sharedKeyHex }),
  })
}

/** None where members are not told apart by certificates, or the nodes keep no state of their own. */
function enrolmentOf(
  nodeDir: string,
  { control }: Topology,
  options: {
    readonly sharedKeyHex?: string | undefined
    readonly targetSize?: number | undefined
  },
): Pick<NodeConfig, 'enrolment'> {
  if (control !== undefined || options.sharedKeyHex !== undefined) return {}
  const name = clusterFileNames.find((known) => existsSync(join(nodeDir, known)))
  const topologyText = name === undefined ? '' : requireText(join(nodeDir, name))
  const { targetSize } = options
  return { enrolment: readEnrolment(nodeDir, { topologyText, targetSize }) }
}

/** Of a node that was initialised or joined by command; `atoll up` keeps the files of its nodes by itself. */
function factsOf(
  nodeDir: string,
  { name, labels = {}, caps = [] }: NodeFile,
): Pick<NodeConfig, 'facts' | 'topologyFile'> {
  if (name === undefined) return {}
  const topologyFile = clusterFileNames.find((known) => existsSync(join(nodeDir, known)))
  return { facts: { name, labels, caps }, ...(topologyFile === undefined ? {} : { topologyFile }) }
}

/** The engine etcd, with the contents of the files that the topology names. */
function controlOf({ control }: Topology, nodeDir: string): Pick<NodeConfig, 'control'> {
  if (control === undefined) return {}
  const { endpoints, prefix, ca, cert, key, username, password } = control
  const read = (path: string): string => requireText(resolve(nodeDir, path))
  const tls = {
    ...(ca === undefined ? {} : { authorityPem: read(ca) }),
    ...(cert === undefined ? {} : { certificatePem: read(cert) }),
    ...(key === undefined ? {} : { privateKeyPem: read(key) }),
  }
  return {
    control: {
      root: prefix,
      endpoints: endpoints.map((endpoint) => {
        const { hostname, port, protocol } = new URL(endpoint)
        const host = hostname.replace(/^\[|\]$/g, '')
        // URL leaves out the port that is its scheme's own.
        const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
        return { host, port: number, isSecure: protocol === 'https:' }
      }),
      tls,
      ...(username === undefined || password === undefined
        ? {}
        : { user: { name: username, password } }),
    },
  }
}

/** The node's own server certificate, which the cluster's authority signed. */
function etcdTlsOf(
  paths: ReturnType<typeof nodePaths>,
  etcd: EtcdFlags | undefined,
): Pick<NodeConfig, 'etcdTls'> {
  if (etcd === undefined || (!etcd.isTls && etcd.clientAuthority === undefined)) return {}
  const { clientAuthority } = etcd
  return {
    etcdTls: {
      certificatePem: requireText(paths.serverCertificate),
      privateKeyPem: requireText(paths.serverKey),
      ...(clientAuthority === undefined
        ? {}
        : { clientAuthorityPem: requireText(clientAuthority) }),
    },
  }
}

function etcdProgressOf(etcd: EtcdFlags | undefined): Pick<NodeConfig, 'etcdProgressMs'> {
  const seconds = etcd?.progressSeconds
  return seconds === undefined ? {} : { etcdProgressMs: seconds * 1000 }
}

/**
 * S3 over plain HTTP stays on loopback. A node whose own address is loopback keeps S3 over TLS there
 * too, whatever `host` says: several such nodes share one machine.
 */
function listenOf(
  topology: Topology,
  file: NodeFile,
  {
    self,
    etcdPort,
    sqlPort,
  }: {
    readonly self: NodeId
    readonly etcdPort: number | undefined
    readonly sqlPort: number | undefined
  },
): NodeConfig['listen'] {
  const db = topology.db.find((listed) => listed.id === self)
  const bulk = topology.nodes.find((listed) => listed.id === self)
  if (db === undefined || bulk === undefined) {
    throw new Fault('invalid', `cluster.toml does not list node ${self}`)
  }
  const isLocal = isLoopback(db.host)
  return {
    control: { host: db.host, port: db.port },
    bulk: { host: bulk.host, port: bulk.port },
    admin: { host: db.host, port: file.adminPort },
    s3: { host: isLocal ? db.host : '127.0.0.1', port: file.s3Port },
    s3Tls: { host: isLocal ? db.host : topology.host, port: file.s3TlsPort },
    ...(etcdPort === undefined ? {} : { etcd: { host: db.host, port: etcdPort } }),
    ...(sqlPort === undefined ? {} : { sql: { host: db.host, port: sqlPort } }),
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9.]+$/.test(host)
}
