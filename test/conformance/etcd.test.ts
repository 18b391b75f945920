// Debian's etcdctl against three real nodes, and the same commands against Debian's own etcd-server: what both
// answer has to be the same text, ids and times aside.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
import { argumentsOf, commands as manyCommands } from './etcd/commands.ts'

const portOffset = 17_000
const ours = `127.0.0.1:${2379 + portOffset}`
const reference = `127.0.0.1:${2479 + portOffset}`
const referencePeer = `http://127.0.0.1:${2480 + portOffset}`

const isThere = (program: string): boolean => spawnSync('which', [program]).status === 0
const noClient = isThere('etcdctl') ? false : 'etcdctl is missing (apt-get install etcd-client)'
const noServer = isThere('etcd') ? noClient : 'etcd is missing (apt-get install etcd-server)'

function etcdctl(endpoint: string, args: readonly string[], input = ''): string {
  const options = { input, env: { ...process.env, ETCDCTL_API: '3' }, timeout: 20_000 }
  const ran = spawnSync('etcdctl', [`--endpoints=${endpoint}`, ...args], options)
  const text = `${ran.stdout}${ran.stderr}`
  // The client's own log lines hold times and addresses; the error follows them in plain words.
  return text.replace(/^\{"level".*\n/gm, '')
}

/** In order: later ones see what earlier ones did. The second member is given to standard input. */
const commands: readonly (readonly [string, string?])[] = [
  ['put a 1'],
  ['get a'],
  ['get a -w json'],
  ['put b/1 x'],
  ['put b/2 y'],
  ['put b/1 z --prev-kv'],
  ['get b/ --prefix'],
  ['get b/ --prefix --keys-only'],
  ['get b/ --prefix --limit 1 -w json'],
  ['get b/ --prefix --sort-by=MODIFY --order=DESCEND'],
  ['get b/ --prefix --count-only -w json'],
  ['get a --from-key'],
  ['get a --rev=1'],
  ['get a --rev=99'],
  ['del b/ --prefix --prev-kv'],
  ['txn', 'mod("a") > "0"\n\nput a 2\nget a\n\nput never x\n\n'],
  ['txn', 'value("a") = "1"\n\nput never x\n\nget a\ndel a\n\n'],
  ['txn', 'mod("a") = "0"\n\nput a 1\nput a 2\n\n\n'],
  ['put x y --lease=77'],
  ['put none --ignore-value'],
  ['lease grant 100 -w json'],
  ['lease revoke 1234'],
  ['lease timetolive 1234'],
  ['compaction 4'],
  ['compaction 4'],
  ['compaction 999'],
  ['get a --rev=2'],
  ['watch a --rev=2'],
  ['get a -w json'],
  ['alarm list'],
  ['user list'],
  ['role list'],
  ['user get nobody'],
  ['auth enable'],
  ['move-leader 99'],
  ['lock l echo held'],
  ['get l --prefix --count-only -w json'],
]

const root = '--user=root:rootpw'
const alice = '--user=alice:alicepw'

/** Users and roles, switched on and off again. Last, since both servers end as they began. */
const authCommands: readonly (readonly [string, string?])[] = [
  ['user add root:rootpw'],
  ['auth enable'],
  ['role add root'],
  ['user grant-role root root'],
  ['user add alice:alicepw'],
  ['user add alice:again'],
  ['role add reader'],
  ['role add reader'],
  ['role grant-permission reader readwrite a/ a0'],
  ['role grant-permission reader read b'],
  ['role grant-permission reader write c/ --prefix=true'],
  ['role grant-permission nobody read b'],
  ['role revoke-permission reader zzz'],
  ['user grant-role alice reader'],
  ['user grant-role alice nobody'],
  ['user revoke-role alice nobody'],
  ['role get reader'],
  ['role get root'],
  ['role get nobody'],
  ['user get alice'],
  ['user get alice --detail'],
  ['user list'],
  ['role list'],
  ['put a/1 x'],
  ['put b y'],
  ['auth enable'],
  ['get a/1'],
  ['put a/1 z'],
  [`${root} get a/1`],
  ['--user=root:wrong get a/1'],
  ['--user=nobody:wrong get a/1'],
  [`${alice} get a/1`],
  [`${alice} get a/ a0`],
  [`${alice} get a/ --prefix --keys-only`],
  [`${alice} get a/ b`],
  [`${alice} get b`],
  [`${alice} put b no`],
  [`${alice} put c/1 yes`],
  [`${alice} put c/1 yes --prev-kv`],
  [`${alice} get c/1`],
  [`${alice} del a/1`],
  [`${alice} del a/ --from-key`],
  [`${alice} txn`, 'mod("a/1") = "0"\n\nput a/1 x\nget a/1\n\nget b\n\n'],
  [`${alice} txn`, 'mod("z") = "0"\n\nput a/1 x\n\nget a/1\n\n'],
  [`${alice} txn`, 'mod("a/1") > "0"\n\nput a/1 x\n\nput b never\n\n'],
  [`${alice} watch z`],
  [`${alice} user list`],
  [`${alice} user get alice`],
  [`${alice} user get root`],
  [`${alice} role get reader`],
  [`${alice} role get root`],
  [`${alice} user add eve:x`],
  [`${alice} auth disable`],
  ['auth disable'],
  ['user list'],
  [`${root} user delete root`],
  [`${root} role delete root`],
  [`${root} user revoke-role root root`],
  [`${root} user passwd alice --interactive=false`, 'newpw\n'],
  [`${alice} get a/1`],
  ['--user=alice:newpw get a/1'],
  [`${root} role revoke-permission reader a/ a0`],
  ['--user=alice:newpw get a/1'],
  [`${root} role delete reader`],
  [`${root} user get alice`],
  [`${root} get b -w json`],
  [`${root} auth disable`],
  ['get a/1'],
  [`${root} get a/1`],
  ['user delete alice'],
  ['user delete alice'],
  ['role delete root'],
  ['user delete root'],
]

/** Status and both outputs, as scripts see them. */
function outcomeOf(
  endpoint: string,
  line: string,
  input = '',
): readonly (string | number | null)[] {
  const options = { input, env: { ...process.env, ETCDCTL_API: '3' }, timeout: 20_000 }
  const ran = spawnSync('etcdctl', [`--endpoints=${endpoint}`, ...argumentsOf(line)], options)
  const told = [ran.stdout, ran.stderr].map((part) =>
    normal(part.toString().replace(/^\{"level".*\n/gm, ''))
      .replaceAll(endpoint, '')
      .replace(/"\w*[rR]evision":\d+,?|"\w*(Revision|ID|Term)" : .*/g, '')
      .replace(/\b\d+(\.\d+)?(ms|µs|s)\b/g, ''),
  )
  return [ran.status, ...told]
}

function normal(text: string): string {
  return text
    .replace(/"(cluster_id|member_id|raft_term|ID)":\d+,?/g, '')
    .replace(/ranted with TTL|\b[0-9a-f]{12,16}\b/g, '')
}

let cluster: Cluster | undefined
let server: { readonly child: ChildProcess; readonly dataDir: string } | undefined

before(async () => {
  if (noClient !== false) return
  cluster = await startCluster({ portOffset, args: ['--etcd'] })
  if (noServer === false) server = await startReference()
})
after(async () => {
  await cluster?.stop()
  await stopReference()
})

async function stopReference(): Promise<void> {
  if (server === undefined) return
  const { child, dataDir } = server
  server = undefined
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill()
  await ended
  rmSync(dataDir, { recursive: true, force: true })
}

/** `from`: a snapshot that it is restored from. */
async function startReference(from?: string) {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-etcd-'))
  if (from !== undefined) {
    rmSync(dataDir, { recursive: true })
    const peers = [`--initial-cluster=default=${referencePeer}`]
    peers.push(`--initial-advertise-peer-urls=${referencePeer}`)
    etcdctl(reference, ['snapshot', 'restore', from, `--data-dir=${dataDir}`, ...peers])
  }
  const url = `http://${reference}`
  const child = spawn(
    'etcd',
    [
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${referencePeer}`,
      `--initial-advertise-peer-urls=${referencePeer}`,
      `--initial-cluster=default=${referencePeer}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  await new Promise<void>((resolve, reject) => {
    let text = ''
    child.stderr?.on('data', (part: Buffer) => {
      text += part.toString()
      if (text.includes('ready to serve client requests')) resolve()
    })
    child.once('exit', () => reject(new Error(`etcd ended: ${text.slice(-500)}`)))
  })
  return { child, dataDir }
}

describe('etcdctl', () => {
  const compareAll = (all: typeof commands): void => {
    for (const [command, input = ''] of all) {
      const args = command.split(' ')
      const expected = normal(etcdctl(reference, args, input))
      assert.equal(normal(etcdctl(ours, args, input)), expected, command)
    }
  }

  it('gets the answers of etcd', { skip: noServer }, () => compareAll(commands))

  it('ends with the status and says what it does with etcd', { skip: noServer }, () => {
    for (const [line, input] of manyCommands) {
      assert.deepEqual(outcomeOf(ours, line, input), outcomeOf(reference, line, input), line)
    }
  })

  it('gets the answers of etcd to users, too', { skip: noServer }, () => compareAll(authCommands))

  it('sees the cluster', { skip: noClient }, () => {
    const members = etcdctl(ours, ['member', 'list'])
    assert.equal(members.trim().split('\n').length, 3)
    assert.match(members, /^1, started, node-1, https:/m)
    assert.match(etcdctl(ours, ['endpoint', 'health']), /is healthy/)
    const [status] = JSON.parse(etcdctl(ours, ['endpoint', 'status', '-w', 'json']))
    assert.ok(status.Status.leader > 0)
    assert.match(etcdctl(ours, ['endpoint', 'hashkv']), /^\S+, \d+$/m)
    assert.match(etcdctl(ours, ['defrag']), /Finished/)
  })

  it('holds a lease and its keys', { skip: noClient }, () => {
    const id = /lease ([0-9a-f]+) granted/.exec(etcdctl(ours, ['lease', 'grant', '60']))?.[1] ?? ''
    etcdctl(ours, ['put', 'leased', 'x', `--lease=${id}`])
    assert.match(
      etcdctl(ours, ['lease', 'timetolive', id, '--keys']),
      /attached keys\(\[leased\]\)/,
    )
    assert.match(etcdctl(ours, ['lease', 'keep-alive', '--once', id]), /keepalived with TTL\(60\)/)
    assert.match(etcdctl(ours, ['lease', 'revoke', id]), /revoked/)
    assert.equal(etcdctl(ours, ['get', 'leased']), '')
  })

  it('saves a snapshot that an etcd goes on from', { skip: noServer }, async () => {
    for (let i = 0; i < 40; i++) etcdctl(ours, ['put', `many/${i}`, 'v'.repeat(i * 50)])
    const id = /lease ([0-9a-f]+) granted/.exec(etcdctl(ours, ['lease', 'grant', '600']))?.[1] ?? ''
    etcdctl(ours, ['put', 'leased', 'x', `--lease=${id}`])
    const path = join(cluster?.dataDir ?? tmpdir(), 'snapshot')
    assert.match(etcdctl(ours, ['snapshot', 'save', path]), /Snapshot saved/)
    const status = JSON.parse(etcdctl(ours, ['snapshot', 'status', path, '-w', 'json']))
    const all = ['get', '', '--from-key', '-w', 'json']
    const held = JSON.parse(etcdctl(ours, all))
    assert.equal(status.revision, held.header.revision)
    await stopReference()
    server = await startReference(path)
    const restored = JSON.parse(etcdctl(reference, all))
    assert.deepEqual(restored.kvs, held.kvs)
    assert.equal(restored.header.revision, held.header.revision)
    assert.match(etcdctl(reference, ['lease', 'timetolive', id, '--keys']), /keys\(\[leased\]\)/)
    assert.match(etcdctl(reference, ['put', 'many/0', 'on']), /OK/)
  })

  it('goes on at another node while one is killed', { skip: noClient }, async () => {
    etcdctl(ours, ['put', 'kept', 'before'])
    const members = etcdctl(ours, ['member', 'list', '-w', 'json'])
    const urls = (JSON.parse(members).members as { clientURLs: string[] }[]).map(
      (member) => member.clientURLs[0]?.replace('http://', '') ?? '',
    )
    await cluster?.kill(0)
    const rest = urls.slice(1).join(',')
    assert.match(etcdctl(rest, ['get', 'kept']), /before/)
    assert.match(etcdctl(rest, ['put', 'kept', 'after']), /OK/)
    assert.match(etcdctl(rest, ['get', 'kept']), /after/)
  })
})
