// Debian's etcdctl against three real nodes, and the same commands against Debian's own etcd-server: what both
// answer has to be the same text, ids and times aside.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from '../e2e/cluster.ts'

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
  if (server === undefined) return
  const ended = new Promise((resolve) => server?.child.once('exit', resolve))
  server.child.kill()
  await ended
  rmSync(server.dataDir, { recursive: true, force: true })
})

async function startReference() {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-etcd-'))
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
  it('gets the answers of etcd', { skip: noServer }, () => {
    for (const [command, input = ''] of commands) {
      const args = command.split(' ')
      const expected = normal(etcdctl(reference, args, input))
      assert.equal(normal(etcdctl(ours, args, input)), expected, command)
    }
  })

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

  it('holds a lease and its keys, saves a snapshot', { skip: noClient }, () => {
    const id = /lease ([0-9a-f]+) granted/.exec(etcdctl(ours, ['lease', 'grant', '60']))?.[1] ?? ''
    etcdctl(ours, ['put', 'leased', 'x', `--lease=${id}`])
    assert.match(
      etcdctl(ours, ['lease', 'timetolive', id, '--keys']),
      /attached keys\(\[leased\]\)/,
    )
    assert.match(etcdctl(ours, ['lease', 'keep-alive', '--once', id]), /keepalived with TTL\(60\)/)
    assert.match(etcdctl(ours, ['lease', 'revoke', id]), /revoked/)
    assert.equal(etcdctl(ours, ['get', 'leased']), '')
    const path = join(cluster?.dataDir ?? tmpdir(), 'snapshot')
    assert.match(etcdctl(ours, ['snapshot', 'save', path]), /Snapshot saved/)
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
