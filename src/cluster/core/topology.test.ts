import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, seededRandom } from '../../base/index.ts'
import { parseNodeFile, renderNodeFile, resolveNodeId } from './node-file.ts'
import { planTopology, renderTopology, replaceInTopology } from './topology.ts'
import { parseTopology } from './topology-file.ts'

const example = `version = "1.0"
region = "ap-southeast-2"

host = "0.0.0.0"
port = 8443

[rs]
data = 2
parity = 1

[[db]]
id = 1
host = "10.11.12.1"
port = 6660
path = "distributed/db/node-1/"
leader = true

[[db]]
id = 2
host = "10.11.12.2"
port = 6660
path = "distributed/db/node-2/"

[[db]]
id = 3
host = "10.11.12.3"
port = 6660
path = "distributed/db/node-3/"

[[nodes]]
id = 1
host = "10.11.12.1"
port = 9991
path = "distributed/nodes/node-1/"

[[nodes]]
id = 2
host = "10.11.12.2"
port = 9991
path = "distributed/nodes/node-2/"

[[nodes]]
id = 3
host = "10.11.12.3"
port = 9991
path = "distributed/nodes/node-3/"

[[buckets]]
name = "predastore"
region = "ap-southeast-2"
type = "distributed"

[[auth]]
access_key_id = "..."
secret_access_key = "..."
`

const addresses = ['10.11.12.1', '10.11.12.2', '10.11.12.3'].map((host) => ({
  host,
  controlPort: 6660,
  bulkPort: 9991,
}))
const planned = planTopology({
  region: 'ap-southeast-2',
  rs: { data: 2, parity: 1 },
  s3Tls: { host: '0.0.0.0', port: 8443 },
  addresses,
  buckets: ['predastore'],
  auth: [{ accessKeyId: '...', secretAccessKey: '...' }],
})

test('a plan of three addresses renders the document example byte for byte', () => {
  assert.equal(renderTopology(planned), example)
})

test('parsing and rendering the example changes nothing', () => {
  assert.deepEqual(parseTopology(example, 'cluster.toml'), planned)
  assert.equal(renderTopology(parseTopology(example, 'cluster.toml')), example)
})

test('what is left out gets the documented defaults', () => {
  const topology = parseTopology(
    '[rs]\ndata = 1\nparity = 1\n[[db]]\nhost = "a"\n[[db]]\nhost = "b"\n' +
      '[[nodes]]\nhost = "a"\n[[nodes]]\nhost = "b"\n',
    'cluster.toml',
  )
  assert.equal(topology.port, 8443)
  assert.deepEqual(topology.db[1], {
    id: 2,
    host: 'b',
    port: 6660,
    path: 'distributed/db/node-2/',
    leader: false,
  })
  assert.deepEqual(topology.nodes[1], {
    id: 2,
    host: 'b',
    port: 9991,
    path: 'distributed/nodes/node-2/',
  })
})

const lineOfText = (text: string, part: string): number =>
  text.slice(0, text.indexOf(part)).split('\n').length

/** Changes the example and expects a refusal with this key at the line of `at`. */
function refused(change: (text: string) => string, key: string, at: string): string {
  const text = change(example)
  assert.notEqual(text, example)
  let message = ''
  assert.throws(
    () => parseTopology(text, 'cluster.toml'),
    (error) => {
      assert.ok(isFault(error, 'invalid'))
      message = error.message
      assert.equal(error.fields.key, key, message)
      assert.equal(error.fields.line, String(lineOfText(text, at)), message)
      assert.ok(message.startsWith(`cluster.toml:${error.fields.line}:`), message)
      return true
    },
  )
  return message
}

const swap = (from: string, to: string) => (text: string) => text.replace(from, to)

test('every refusal names line and key', () => {
  refused(swap('port = 8443', 'port = 8443\ncolour = "red"'), 'colour', 'colour')
  refused(swap('parity = 1', 'parity = 1\nlocal = 1'), 'rs.local', 'local')
  refused(swap('id = 2', 'id = 2\ncolor = 1'), 'db.color', 'color')
  refused(swap('id = 2\nhost', 'id = 1 # twice\nhost'), 'db.id', 'id = 1 # twice')
  refused(
    swap('host = "10.11.12.3"\nport = 6', 'host = "10.11.12.1" # same\nport = 6'),
    'db.host',
    'host = "10.11.12.1" # same',
  )
  refused(swap('data = 2', 'data = 3'), 'rs.data', 'data = 3')
  refused(swap('id = 3\nhost', 'id = 7 # alone\nhost'), 'db.id', 'id = 7 # alone')
  refused(
    swap('host = "10.11.12.2"', 'host = "0.0.0.0" # any'),
    'db.host',
    'host = "0.0.0.0" # any',
  )
  refused(
    swap('node-2/"', 'node-2/"\nleader = true # second'),
    'db.leader',
    'leader = true # second',
  )
  refused(swap('port = 6660', 'port = "x"'), 'db.port', 'port = "x"')
  refused(swap('db/node-3/', 'db/../../node-3/'), 'db.path', 'path = "distributed/db/../')
  refused(swap('region = "ap', 'region = 7 # "ap'), 'region', 'region = 7')
  assert.match(refused(swap('[rs]\ndata', '[rs]\nx = 1\ndata'), 'rs.x', 'x = 1'), /unknown key/)
})

test('a syntax error names its line', () => {
  assert.throws(
    () => parseTopology(example.replace('id = 2', 'id = '), 'predastore.toml'),
    (error) => isFault(error, 'invalid') && error.message.startsWith('predastore.toml:19:'),
  )
})

test('any damage to the file is a topology or a Fault, never another error', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 1500; round++) {
    const at = random.integer(example.length)
    const cut = random.integer(12)
    const noise = String.fromCharCode(...random.bytes(random.integer(4)))
    const text = example.slice(0, at) + noise + example.slice(at + cut)
    try {
      const topology = parseTopology(text, 'cluster.toml')
      assert.deepEqual(parseTopology(renderTopology(topology), 'cluster.toml'), topology)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), String(error))
    }
  }
})

test('a replaced node keeps its addresses under a new id and leads nothing', () => {
  const replaced = replaceInTopology(planned, nodeId(1), nodeId(4))
  assert.deepEqual(replaced.db[0], {
    id: 4,
    host: '10.11.12.1',
    port: 6660,
    path: 'distributed/db/node-4/',
    leader: false,
  })
  assert.equal(replaced.nodes[0]?.path, 'distributed/nodes/node-4/')
  assert.deepEqual(parseTopology(renderTopology(replaced), 'cluster.toml'), replaced)
})

test('node.toml: written, read, and silent about an id when there is none', () => {
  const file = {
    id: nodeId(4),
    founders: [1, 2, 3].map(nodeId),
    adminPort: 1,
    s3Port: 2,
    s3TlsPort: 3,
  }
  assert.deepEqual(parseNodeFile(renderNodeFile(file), planned), file)
  const told = {
    ...file,
    name: 'rpi1',
    caps: ['control', 's3'],
    labels: { region: 'r', 'a b': 'c "d"' },
    targetSize: 3,
  }
  assert.deepEqual(parseNodeFile(renderNodeFile(told), planned), told)
  const single = renderNodeFile({ ...file, id: undefined, founders: [] })
  assert.doesNotMatch(single, /node_id/)
  assert.equal(parseNodeFile('', planned).s3TlsPort, 8443)
  assert.throws(
    () => parseNodeFile('[node]\nnode_id = 1\nnodeid = 2\n', planned),
    (error) => isFault(error, 'invalid') && error.message.startsWith('node.toml:3: node.nodeid'),
  )
})

test('who this node is: environment, then node.toml, then bind address, then the only entry', () => {
  const resolve = (known: Partial<Parameters<typeof resolveNodeId>[1]>) =>
    resolveNodeId(planned, { environment: {}, ...known })
  const environment = { ATOLL_NODE_ID: '3', HIVE_PREDASTORE_NODE_ID: '2' }
  assert.equal(resolve({ environment, file: nodeId(1) }), 3)
  assert.equal(resolve({ environment: { HIVE_PREDASTORE_NODE_ID: '2' }, file: nodeId(1) }), 2)
  assert.equal(resolve({ environment: { ATOLL_NODE_ID: '' }, file: nodeId(1) }), 1)
  assert.equal(resolve({ bindHost: '10.11.12.2' }), 2)
  const invalid = (error: unknown): boolean => isFault(error, 'invalid')
  assert.throws(() => resolve({ bindHost: '10.9.9.9' }), invalid)
  assert.throws(() => resolve({ environment: { ATOLL_NODE_ID: '9' } }), invalid)
  assert.throws(() => resolve({ environment: { ATOLL_NODE_ID: 'two' } }), invalid)
  assert.throws(() => resolve({}), invalid)
  const [db] = planned.db
  const [node] = planned.nodes
  assert.ok(db !== undefined && node !== undefined)
  assert.equal(resolveNodeId({ ...planned, db: [db], nodes: [node] }, { environment: {} }), 1)
})

test('[control] names an etcd, comes out as it went in, and is refused where it makes no sense', () => {
  const withControl = (lines: string): string =>
    example.replace('[[db]]\nid = 1', `[control]\n${lines}\n\n[[db]]\nid = 1`)
  const whole = withControl(
    [
      'engine = "etcd"',
      'endpoints = ["https://10.0.0.1:2379", "https://[::1]:2379"]',
      'prefix = "/one"',
      'ca = "ca.pem"',
      'cert = "cert.pem"',
      'key = "key.pem"',
      'username = "atoll"',
      'password = "secret"',
    ].join('\n'),
  )
  const topology = parseTopology(whole, 'cluster.toml')
  assert.equal(topology.control?.endpoints.length, 2)
  assert.equal(renderTopology(topology), whole)
  const endpoints = 'endpoints = ["http://10.0.0.1:2379"]'
  const plain = parseTopology(withControl(`engine = "etcd"\n${endpoints}`), 'cluster.toml')
  assert.equal(plain.control?.prefix, '/atoll')
  assert.equal(parseTopology(withControl('engine = "atoll"'), 'x').control, undefined)
  const wrong: readonly (readonly [string, string])[] = [
    ['engine = "consul"', 'control.engine'],
    ['engine = "etcd"', 'control.endpoints'],
    ['engine = "etcd"\nendpoints = ["10.0.0.1"]', 'control.endpoints'],
    [`engine = "atoll"\n${endpoints}`, 'control.endpoints'],
    [`engine = "etcd"\n${endpoints}\ncert = "c.pem"`, 'control.cert'],
    [`engine = "etcd"\n${endpoints}\nusername = "a"`, 'control.username'],
    [`engine = "etcd"\n${endpoints}\nprefix = "no slash"`, 'control.prefix'],
    [`engine = "etcd"\n${endpoints}\nport = 1`, 'control.port'],
  ]
  for (const [lines, key] of wrong) {
    assert.throws(
      () => parseTopology(withControl(lines), 'cluster.toml'),
      (error) => isFault(error, 'invalid') && error.fields.key === key,
      lines,
    )
  }
})
