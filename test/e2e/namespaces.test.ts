// Namespaces that users open by name, on real processes: created once however often and wherever they are asked for,
// served by every node, kept over the loss of a node and over a restart, and gone when they are dropped.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from './cluster.ts'

const portOffset = 11_600
const root = join(import.meta.dirname, '..', '..')

type Ran = { readonly status: number | null; readonly out: string; readonly error: string }

describe('namespaces of users', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-namespaces-'))
  let cluster: Cluster

  const raft = (...words: readonly string[]): Ran => {
    const command = [join(root, 'scripts/atoll.mjs'), 'raft', ...words, '--data-dir', dataDir]
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { timeout: 60_000 })
    return { status, out: String(stdout).trim(), error: String(stderr) }
  }
  const json = (...words: readonly string[]) => {
    const ran = raft(...words, '--json')
    assert.equal(ran.status, 0, ran.error)
    return JSON.parse(ran.out) as Record<string, unknown>
  }

  before(async () => {
    cluster = await startCluster({ portOffset, dataDir })
  })
  after(async () => {
    await cluster?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  it('are created once and served by every node', () => {
    const first = json('create', '/raft/jobs', '--node', '1')
    const again = json('create', '/raft/jobs', '--node', '3')
    assert.equal(again.group, first.group)
    assert.deepEqual(first.voters, [1, 2, 3])
    json('set', '/raft/jobs', 'a', 'one', '--node', '2')
    json('set', '/raft/jobs', 'b', 'two', '--node', '3')
    for (const node of ['1', '2', '3']) {
      assert.equal(json('get', '/raft/jobs', 'a', '--node', node).value, 'one')
      assert.deepEqual(json('keys', '/raft/jobs', '--node', node).keys, ['a', 'b'])
    }
    const other = json('create', '/raft/other/Plätze 2?')
    assert.notEqual(other.group, first.group)
    assert.equal(raft('get', '/raft/other/Plätze 2?', 'a').status, 1)
  })

  it('hand over their lead at any node', () => {
    for (const to of ['3', '1']) {
      json('transfer', '/raft/jobs', to, '--node', '2')
      assert.equal(json('members', '/raft/jobs', '--node', to).leader, Number(to))
    }
  })

  it('refuse names that are none or not theirs', () => {
    for (const name of ['/raft/system', '/raft/objects/1', '/raft//b', '/jobs', 'jobs']) {
      const ran = raft('create', name)
      assert.notEqual(ran.status, 0, name)
      assert.match(ran.error, /namespace|kept for the cluster/)
    }
    assert.match(raft('set', '/raft/nobody', 'a', 'b').error, /no namespace \/raft\/nobody/)
  })

  it('outlive a node and a restart', async () => {
    await cluster.kill(0)
    json('set', '/raft/jobs', 'c', 'three', '--node', '2')
    assert.equal(json('create', '/raft/late', '--node', '3').name, '/raft/late')
    await cluster.stop()
    cluster = await startCluster({ portOffset, dataDir })
    for (const node of ['1', '2', '3']) {
      assert.equal(json('get', '/raft/jobs', 'c', '--node', node).value, 'three')
      json('set', '/raft/late', 'from', node, '--node', node)
    }
  })

  it('are gone when they are dropped, and empty when they come again', () => {
    json('drop', '/raft/jobs', '--node', '2')
    assert.match(raft('get', '/raft/jobs', 'a').error, /no namespace/)
    const listed = json('list').namespaces as readonly { readonly name: string }[]
    assert.deepEqual(
      listed.map(({ name }) => name),
      ['/raft/late', '/raft/other/Plätze 2?'],
    )
    json('create', '/raft/jobs', '--node', '1')
    assert.deepEqual(json('keys', '/raft/jobs', '--node', '3').keys, [])
  })
})
