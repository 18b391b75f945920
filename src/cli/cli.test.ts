import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { Command } from 'commander'
import { clusterId, isFault, nodeId } from '../base/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { issueNodeCertificate, issueServerCertificate, makeAuthority } from './authority.ts'
import { formCluster, isLost, readFormation, requireTopology } from './formation.ts'
import { acquireLock, readHolder, tellToEnd } from '../host/real/lock.ts'
import { loadNodeConfig } from './node-dir.ts'
import { readNode } from './node-flags.ts'
import { defaultCode, parseCode, parseCount, parsePorts, parseRatio } from './options.ts'
import { planPorts, requireFreePorts, shiftPorts } from './ports.ts'
import { duration, size, table } from './status-text.ts'
import { describeCluster } from './up-text.ts'
import { addGroupExamples, tellUsage } from './usage.ts'

let dir: string
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'atoll-cli-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

const invalid = (error: unknown): boolean => isFault(error, 'invalid')

test('flags are read strictly', () => {
  assert.equal(readNode({ dataDir: '/d' }).log, 'text')
  assert.equal(readNode({ dataDir: '/d', level: 'debug' }).level, 'debug')
  const etcd = readNode({ dataDir: '/d', etcdPort: '2379', etcdWatchProgress: '5' }).etcd
  assert.deepEqual([etcd?.port, etcd?.progressSeconds], [2379, 5])
  for (const wrong of [{ log: 'yaml' }, { level: 'info' }, { log: '' }]) {
    assert.throws(() => readNode({ dataDir: '/d', ...wrong }), invalid, JSON.stringify(wrong))
  }
  assert.deepEqual(parseCode('3+2'), { data: 3, parity: 2 })
  for (const text of ['3', '0+1', '+', '3+-1', '30+3', '2 + 1', '']) {
    assert.throws(() => parseCode(text), invalid, text)
  }
  assert.equal(parseCount('--nodes', '5', [1, 32]), 5)
  assert.equal(parseRatio('--read-lease', '0.02'), 0.02)
  for (const text of ['', '0', '0.0', '1', '2%', '-0.1', 'NaN']) {
    assert.throws(() => parseRatio('--read-lease', text), invalid, text)
  }
  for (const text of ['', '0', '33', '1.5', '1e1', ' 3', '-3']) {
    assert.throws(() => parseCount('--nodes', text, [1, 32]), invalid, text)
  }
  assert.deepEqual(parsePorts({ s3Port: '1' }), { s3: 1, offset: 0 })
  assert.deepEqual([1, 2, 3, 9].map(defaultCode), [
    { data: 1, parity: 0 },
    { data: 1, parity: 1 },
    { data: 2, parity: 1 },
    { data: 2, parity: 1 },
  ])
  const ports = planPorts(1_000, { s3: 5 })
  assert.deepEqual(ports, { control: 7660, bulk: 10991, admin: 8777, s3: 5, s3Tls: 9443 })
  assert.equal(shiftPorts(ports, 100).control, 7760)
})

test('a node certificate proves cluster, node and address, and was signed by the authority', async () => {
  const own = clusterId('00112233445566778899aabbccddeeff')
  const authority = await makeAuthority(own)
  const pair = await issueNodeCertificate(authority, {
    clusterId: own,
    id: nodeId(7),
    host: '127.0.0.7',
  })
  const signer = new X509Certificate(authority.certificatePem)
  const certificate = new X509Certificate(pair.certificatePem)
  assert.equal(certificate.subjectAltName, `URI:atoll://${own}/node/7, IP Address:127.0.0.7`)
  assert.ok(certificate.checkIssued(signer) && certificate.verify(signer.publicKey))
  assert.ok(!certificate.ca && signer.ca)
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  const stranger = await makeAuthority(own)
  assert.ok(!certificate.verify(new X509Certificate(stranger.certificatePem).publicKey))
  const server = await issueServerCertificate(authority, { id: nodeId(7), hosts: ['127.0.0.7'] })
  const { subjectAltName } = new X509Certificate(server.certificatePem)
  assert.equal(subjectAltName, 'IP Address:127.0.0.7, DNS:localhost')
})

test('certificates of many and long names, and of addresses in every form', async () => {
  const authority = await makeAuthority(clusterId('00112233445566778899aabbccddeeff'))
  const long = `${'a'.repeat(60)}.`.repeat(3).concat('example')
  const hosts = ['::1', 'fe80::1:2', '2001:db8:1:2:3:4:5:6', '10.0.0.1', long, 'b.example']
  const { certificatePem } = await issueServerCertificate(authority, { id: nodeId(1), hosts })
  const certificate = new X509Certificate(certificatePem)
  const signer = new X509Certificate(authority.certificatePem)
  assert.ok(certificate.checkIssued(signer) && certificate.verify(signer.publicKey))
  for (const host of [...hosts, 'localhost']) {
    const isName = host.includes('e') && !host.includes(':')
    const found =
      isName || host === 'localhost' ? certificate.checkHost(host) : certificate.checkIP(host)
    assert.ok(found !== undefined, host)
  }
  await assert.rejects(issueServerCertificate(authority, { id: nodeId(1), hosts: ['1:2'] }))
})

test('what changes something is asked of no second node when the first may have begun with it', async () => {
  const authority = await makeAuthority(clusterId('00112233445566778899aabbccddeeff'))
  const hosts = ['127.0.0.1']
  const { certificatePem: cert, privateKeyPem: key } = await issueServerCertificate(authority, {
    id: nodeId(1),
    hosts,
  })
  const counts = { silent: 0, unsure: 0, other: 0 }
  const unsure = createTlsServer({ cert, key }, (request, response) => {
    counts.unsure++
    request.resume()
    const error = { code: 'unavailable', message: 'too few nodes answered', outcome: 'unknown' }
    response.writeHead(503).end(JSON.stringify({ error }))
  })
  const silent = createTlsServer({ cert, key }, (request) => {
    counts.silent++
    request.resume()
    // As a node that is killed while it is at it.
    request.on('end', () => request.socket.destroy())
  })
  const other = createTlsServer({ cert, key }, (request, response) => {
    counts.other++
    request.resume()
    response.end('{"from": "other"}')
  })
  const portOf = (server: typeof other) =>
    new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  const [silentPort, otherPort] = [await portOf(silent), await portOf(other)]
  const unsurePort = await portOf(unsure)
  const closed = createTlsServer({ cert, key })
  const closedPort = await portOf(closed)
  await new Promise((resolve) => closed.close(resolve))
  const ask = (ports: readonly number[], method: 'GET' | 'POST') =>
    askFirst(ports, (port) =>
      askAdmin(
        { host: '127.0.0.1', port, authorityPem: authority.certificatePem, token: 't' },
        { method, path: '/', body: {}, timeoutMs: 20_000 },
      ),
    )
  await assert.rejects(ask([silentPort, otherPort], 'POST'), (error) => {
    return isFault(error, 'unavailable') && error.outcome === 'unknown'
  })
  await assert.rejects(ask([unsurePort, otherPort], 'POST'), (error) => {
    return isFault(error, 'unavailable') && error.outcome === 'unknown'
  })
  assert.deepEqual(counts, { silent: 1, unsure: 1, other: 0 })
  assert.deepEqual(await ask([silentPort, otherPort], 'GET'), { from: 'other' })
  assert.deepEqual(await ask([closedPort, otherPort], 'POST'), { from: 'other' })
  await assert.rejects(ask([closedPort], 'POST'), (error) => {
    return isFault(error, 'unavailable') && error.outcome === 'failed'
  })
  for (const server of [silent, unsure, other])
    await new Promise((resolve) => server.close(resolve))
})

test('a lock is held once, is left behind by the dead, and names its holder', () => {
  const path = join(dir, 'locks', 'one')
  const lock = acquireLock(path, 'it')
  assert.equal(readHolder(path), process.pid)
  assert.throws(
    () => acquireLock(path, 'it'),
    (error) => isFault(error, 'exists') && error.fields.pid === String(process.pid),
  )
  lock.release()
  assert.equal(readHolder(path), undefined)
  const dead = spawnSync(process.execPath, ['-e', '0']).pid
  writeFileSync(path, `${dead} 1\n`)
  assert.equal(readHolder(path), undefined)
  writeFileSync(path, `${process.pid} 1\n`)
  assert.equal(readHolder(path), undefined, 'a pid that was given to another process')
  acquireLock(path, 'it').release()
})

test('a lock that is being taken is left alone, until its taker is long dead', () => {
  const path = join(dir, 'locks', 'two')
  const isTaken = (error: unknown): boolean => isFault(error, 'exists') && error.next !== undefined
  // As its maker leaves it between making the file and writing who he is.
  writeFileSync(path, '')
  assert.throws(() => acquireLock(path, 'it'), isTaken)
  utimesSync(path, 1, 1)
  acquireLock(path, 'it').release()
  // As another process has it that found the same dead holder.
  const dead = spawnSync(process.execPath, ['-e', '0']).pid
  writeFileSync(path, `${dead} 1\n`)
  const other = acquireLock(`${path}.taking`, 'it')
  assert.throws(() => acquireLock(path, 'it'), isTaken)
  assert.equal(readFileSync(path, 'utf8'), `${dead} 1\n`)
  other.release()
  writeFileSync(`${path}.taking`, `${dead} 1\n`)
  acquireLock(path, 'it').release()
})

test('what is used wrongly says where to look, and every group where its examples are', () => {
  const told: string[] = []
  tellUsage("error: unknown command 'foo'\n", (text) => told.push(text))
  assert.match(told.join(''), /^atoll: unknown command 'foo'\n {2}next: .*--help/)
  const program = new Command('atoll')
  const group = program.command('admin').command('token')
  group.command('create').addHelpText('after', 'Examples:')
  addGroupExamples(program, 'atoll')
  const help: string[] = []
  group.configureOutput({ writeOut: (text) => help.push(text) }).outputHelp()
  assert.match(help.join(''), /Examples are .*: atoll admin token create --help/)
})

test('the lines to paste name the directory that was given', () => {
  const summary = { region: 'eu', accessKeyId: 'a', secretAccessKey: 'b', nodes: [] }
  assert.match(describeCluster(summary, '/srv/x'), /`npm start -- --data-dir \/srv\/x` starts it/)
  assert.match(describeCluster(summary, resolve('.atoll')), /`npm start` starts it/)
})

test('who is told to end may have ended already', () => {
  tellToEnd(spawnSync(process.execPath, ['-e', '0']).pid)
})

test('a taken port is named with the flag that moves it', async () => {
  const holder = createServer()
  const taken = await new Promise<number>((resolve) => {
    holder.listen({ host: '127.0.0.1', port: 0, reusePort: true }, () => {
      const address = holder.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  const free = { control: 0, bulk: 0, admin: 0, s3Tls: 0 }
  await assert.rejects(
    requireFreePorts('127.0.0.1', { ...free, s3: taken }),
    (error) =>
      isFault(error, 'exists') &&
      error.message.includes(`port ${taken}`) &&
      (error.next ?? '').includes('--s3-port'),
  )
  await new Promise((resolve) => holder.close(resolve))
})

test('a formed cluster: the same file everywhere, secrets for their owner only, readable configs', async () => {
  const dataDir = join(dir, 'formed')
  const ports = planPorts(11_000, {})
  const rs = { data: 2, parity: 1 }
  const formation = await formCluster(dataDir, { nodes: 3, rs, ports })
  assert.deepEqual(readFormation(dataDir), formation)
  const file = readFileSync(join(dataDir, 'cluster.toml'), 'utf8')
  for (const { slot, id, host } of formation.slots) {
    const nodeDir = join(dataDir, `node-${slot}`)
    assert.equal(readFileSync(join(nodeDir, 'cluster.toml'), 'utf8'), file)
    assert.equal(statSync(join(nodeDir, 'identity', 'node-key.pem')).mode & 0o777, 0o600)
    const config = loadNodeConfig(nodeDir, { dataThreads: 1 })
    assert.equal(config.self, id)
    assert.deepEqual(config.listen.s3, { host, port: 20_000 })
    assert.deepEqual(config.listen.s3Tls, { host, port: 19_443 })
    assert.deepEqual(config.founders, [1, 2, 3])
  }
  const [first] = formation.slots
  assert.ok(first !== undefined)
  const topology = requireTopology(dataDir)
  assert.equal(isLost(dataDir, first, topology), false, 'it never ran')
  assert.equal(isLost(dataDir, { ...first, hasRun: true }, topology), true)
})

test('a single node writes no id, and a given cluster.toml is the plan', async () => {
  const single = join(dir, 'single')
  const ports = planPorts(12_000, {})
  await formCluster(single, { nodes: 1, rs: { data: 1, parity: 0 }, ports })
  assert.doesNotMatch(readFileSync(join(single, 'node-1', 'node.toml'), 'utf8'), /node_id/)
  assert.equal(loadNodeConfig(join(single, 'node-1'), { dataThreads: 0 }).self, 1)

  const given = join(dir, 'given')
  const text = readFileSync(join(single, 'cluster.toml'), 'utf8').replace('predastore', 'mine')
  rmSync(given, { recursive: true, force: true })
  mkdirSync(given)
  writeFileSync(join(given, 'predastore.toml'), text)
  const formation = await formCluster(given, { nodes: 3, rs: { data: 2, parity: 1 }, ports })
  assert.equal(formation.slots.length, 1)
  assert.equal(requireTopology(given).buckets[0]?.name, 'mine')
})

test('forming never overwrites a node that holds data', async () => {
  const kept = join(dir, 'kept')
  mkdirSync(join(kept, 'node-2', 'distributed'), { recursive: true })
  const plan = { nodes: 3, rs: { data: 2, parity: 1 }, ports: planPorts(12_000, {}) }
  await assert.rejects(formCluster(kept, plan), (error) => isFault(error, 'exists'))
})

test('sizes, durations and tables for people', () => {
  assert.deepEqual([0, 1023, 1536, 200 * 1024, 3 * 2 ** 30].map(size), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '200 KiB',
    '3.0 GiB',
  ])
  assert.deepEqual([900, 61_000, 7_200_000, 259_200_000].map(duration), [
    '0 s',
    '1 min',
    '2 h',
    '3 d',
  ])
  assert.deepEqual(table(['a', 'bb'], [['ccc', 'd']]), ['a    bb', 'ccc  d'])
})
