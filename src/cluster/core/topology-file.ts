// Reading cluster.toml (also called predastore.toml), byte-identical on every node, into a Topology.
//
// Invariants: render(parse(text)) of a rendered file is the same text; every refusal is a Fault
// 'invalid' whose message names the line and the key, and whose fields are {line, key}.

import { parse as parseToml, TomlError } from 'smol-toml'
import * as v from 'valibot'
import { Fault, nodeId } from '../../base/index.ts'
import { describeIssue } from './shape-issue.ts'
import { lineOf, type TomlPath } from './toml-lines.ts'
import { type Topology, topologyDefaults } from './topology.ts'

/** A cluster file is small; beyond this it is refused unread. */
export const topologyBytesMax = 1024 * 1024

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const id = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0xffff_ffff))
const filePath = v.pipe(v.string(), v.minLength(1), v.maxLength(1024))
const entry = {
  id: v.optional(id),
  host: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  path: v.optional(v.string()),
}
const fileSchema = v.strictObject({
  version: v.optional(v.literal(topologyDefaults.version), topologyDefaults.version),
  region: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64)), topologyDefaults.region),
  host: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255)), topologyDefaults.host),
  port: v.optional(port, topologyDefaults.s3TlsPort),
  rs: v.strictObject({
    data: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(32)),
    parity: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(31)),
  }),
  control: v.optional(
    v.strictObject({
      engine: v.picklist(['atoll', 'etcd']),
      endpoints: v.optional(
        v.pipe(v.array(v.pipe(v.string(), v.maxLength(255))), v.minLength(1), v.maxLength(16)),
      ),
      prefix: v.optional(
        v.pipe(
          v.string(),
          v.maxLength(128),
          v.regex(/^(\/[A-Za-z0-9._-]+)+$/, "a path such as '/atoll'"),
        ),
      ),
      ca: v.optional(filePath),
      cert: v.optional(filePath),
      key: v.optional(filePath),
      username: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
      password: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
    }),
  ),
  db: v.pipe(
    v.array(
      v.strictObject({
        ...entry,
        port: v.optional(port, topologyDefaults.controlPort),
        leader: v.optional(v.boolean()),
      }),
    ),
    v.minLength(1),
    v.maxLength(1024),
  ),
  nodes: v.pipe(
    v.array(v.strictObject({ ...entry, port: v.optional(port, topologyDefaults.bulkPort) })),
    v.minLength(1),
    v.maxLength(1024),
  ),
  buckets: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          name: v.pipe(v.string(), v.minLength(3), v.maxLength(63)),
          region: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
          type: v.optional(v.literal('distributed'), 'distributed'),
        }),
      ),
      v.maxLength(1000),
    ),
    [],
  ),
  auth: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          access_key_id: v.pipe(v.string(), v.minLength(3), v.maxLength(128)),
          secret_access_key: v.pipe(v.string(), v.minLength(3), v.maxLength(256)),
        }),
      ),
      v.maxLength(1000),
    ),
    [],
  ),
})
type TopologyFile = v.InferOutput<typeof fileSchema>

/**
 * `name` is the file's name as people know it; it begins every message. `mayGrow`: more nodes will join than the
 * file lists, so that it may ask for a wider code than it has nodes; objects are refused until they are there.
 */
export function parseTopology(
  text: string,
  name: string,
  options: { readonly mayGrow?: boolean } = {},
): Topology {
  const refuse = refusal(text, name)
  if (text.length > topologyBytesMax) throw refuse([], `larger than ${topologyBytesMax} bytes`)
  const file = readFile(text, name)
  checkControl(file, refuse)
  const topology = toTopology(file)
  checkIds(topology, refuse)
  checkAddresses(topology, refuse)
  const { data, parity } = topology.rs
  if (options.mayGrow !== true && data + parity > topology.nodes.length) {
    const sum = `data + parity = ${data + parity}`
    throw refuse(['rs', 'data'], `${sum} is more than the ${topology.nodes.length} nodes listed`)
  }
  return topology
}

type Refuse = (path: TomlPath, what: string) => Fault

function refusal(text: string, name: string): Refuse {
  return (path, what) => {
    const line = lineOf(text, path)
    const key = path.filter((part) => typeof part === 'string').join('.')
    return new Fault('invalid', `${name}:${line}: ${key === '' ? '' : `${key}: `}${what}`, {
      fields: { line: String(line), key },
      next: `correct line ${line} of ${name} and start again`,
    })
  }
}

function readFile(text: string, name: string): TopologyFile {
  const parsed = v.safeParse(fileSchema, readToml(text, name))
  if (parsed.success) return parsed.output
  const { path, what } = describeIssue(parsed.issues[0])
  throw refusal(text, name)(path, what)
}

/** The text as plain values; Fault 'invalid' with the line of a syntax error. */
export function readToml(text: string, name: string): unknown {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0] ?? 'not TOML'
    throw new Fault('invalid', `${name}:${error.line}: ${what}`, {
      fields: { line: String(error.line), key: '' },
    })
  }
}

function toTopology(file: TopologyFile): Topology {
  return {
    version: file.version,
    region: file.region,
    host: file.host,
    port: file.port,
    rs: file.rs,
    ...toControl(file),
    db: file.db.map((db, at) => {
      const dbId = db.id ?? at + 1
      return {
        id: nodeId(dbId),
        host: db.host,
        port: db.port,
        path: db.path ?? `distributed/db/node-${dbId}/`,
        leader: db.leader ?? false,
      }
    }),
    nodes: file.nodes.map((node, at) => {
      const ownId = node.id ?? at + 1
      const path = node.path ?? `distributed/nodes/node-${ownId}/`
      return { id: nodeId(ownId), host: node.host, port: node.port, path }
    }),
    buckets: file.buckets.map((bucket) => ({ ...bucket, region: bucket.region ?? file.region })),
    auth: file.auth.map((key) => ({
      accessKeyId: key.access_key_id,
      secretAccessKey: key.secret_access_key,
    })),
  }
}

function checkControl({ control }: TopologyFile, refuse: Refuse): void {
  if (control === undefined) return
  const { engine, endpoints, cert, key, username, password } = control
  if (engine === 'atoll') {
    const other = Object.keys(control).find((name) => name !== 'engine')
    if (other !== undefined) throw refuse(['control', other], 'is for engine = "etcd"')
    return
  }
  if (endpoints === undefined) throw refuse(['control', 'endpoints'], 'the engine etcd needs them')
  for (const endpoint of endpoints) {
    if (/^https?:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$/.test(endpoint)) continue
    const what = `'${endpoint}' is not like http://10.0.0.1:2379 or https://...`
    throw refuse(['control', 'endpoints'], what)
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw refuse(['control', cert === undefined ? 'key' : 'cert'], 'cert and key go together')
  }
  if ((username === undefined) !== (password === undefined)) {
    const alone = username === undefined ? 'password' : 'username'
    throw refuse(['control', alone], 'username and password go together')
  }
}

function toControl({ control }: TopologyFile): Pick<Topology, 'control'> {
  if (control === undefined || control.engine === 'atoll') return {}
  const { endpoints = [], prefix = '/atoll', ca, cert, key, username, password } = control
  return {
    control: {
      engine: 'etcd',
      endpoints,
      prefix,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      ...(username === undefined || password === undefined ? {} : { username, password }),
    },
  }
}

function checkIds(topology: Topology, refuse: Refuse): void {
  for (const table of ['db', 'nodes'] as const) {
    const seen = new Set<number>()
    for (const [at, { id: own }] of topology[table].entries()) {
      if (seen.has(own)) throw refuse([table, at, 'id'], `id ${own} is listed twice`)
      seen.add(own)
    }
    const other = table === 'db' ? 'nodes' : 'db'
    const known = new Set<number>(topology[other].map((listed) => listed.id))
    for (const [at, { id: own }] of topology[table].entries()) {
      if (!known.has(own)) throw refuse([table, at, 'id'], `id ${own} has no [[${other}]] entry`)
    }
  }
  for (const [at, db] of topology.db.entries()) {
    if (db.leader && db.id !== 1) throw refuse(['db', at, 'leader'], 'only id 1 may be the leader')
  }
  const names = new Set<string>()
  for (const [at, bucket] of topology.buckets.entries()) {
    if (names.has(bucket.name)) throw refuse(['buckets', at, 'name'], 'the bucket is listed twice')
    names.add(bucket.name)
  }
}

const wildcards = new Set(['0.0.0.0', '::', '[::]', '*'])

function checkAddresses(topology: Topology, refuse: Refuse): void {
  const seen = new Set<string>()
  for (const table of ['db', 'nodes'] as const) {
    for (const [at, listed] of topology[table].entries()) {
      if (wildcards.has(listed.host)) {
        const what = `${listed.host} is every address; name the one that other nodes reach`
        throw refuse([table, at, 'host'], what)
      }
      const address = `${listed.host}:${listed.port}`
      if (seen.has(address)) throw refuse([table, at, 'host'], `${address} is listed twice`)
      seen.add(address)
      if (!isInnerPath(listed.path)) {
        throw refuse([table, at, 'path'], 'must be a relative path inside the data directory')
      }
    }
  }
}

function isInnerPath(path: string): boolean {
  const parts = path.split('/')
  return (
    !path.startsWith('/') && !parts.includes('..') && !path.includes('\0') && path.length < 1024
  )
}
