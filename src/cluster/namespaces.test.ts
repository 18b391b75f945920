import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault, nodeId } from '../base/index.ts'
import { checkUserNamespace } from './core/namespace-names.ts'
import {
  beginClosing,
  createNamespace,
  dropNamespace,
  findNamespace,
  listNamespaces,
  readMapVersion,
  userNamespacesMax,
} from './namespaces.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

const members = [3, 1, 2].map(nodeId)
const local = { isSerializable: true }

describe('names of namespaces', () => {
  it('are paths under /raft/ that the product does not keep for itself', () => {
    for (const name of [
      '/raft/cron',
      '/raft/a/b.c/D_1-2',
      `/raft/${'x'.repeat(249)}`,
      '/raft/systems',
      '/raft/a b/é',
    ]) {
      checkUserNamespace(name)
    }
    const malformed = ['', 'cron', '/cron', '/raft', '/raft/', '/raft//a', '/raft/a/']
    for (const name of [
      ...malformed,
      '/raft/../x',
      '/raft/.',
      '/raft/a\0',
      '/raft/transport',
      `/raft/${'x'.repeat(250)}`,
    ]) {
      assert.throws(
        () => checkUserNamespace(name),
        (error) => isFault(error, 'invalid'),
        name,
      )
    }
    for (const name of [
      '/raft/system',
      '/raft/objects/1',
      '/raft/etcd',
      '/raft/sql/a',
      '/raft/v1/x',
    ]) {
      assert.throws(
        () => checkUserNamespace(name),
        (error) => isFault(error, 'denied'),
        name,
      )
    }
  })
})

describe('the map of namespaces', () => {
  const create = (system: MemoryKeyspace, name: string) =>
    createNamespace(system, { name, members, createdMs: 5 })

  it('gives each name one group, however often and by how many it is created', async () => {
    const system = new MemoryKeyspace()
    const names = ['/raft/b', '/raft/a', '/raft/b', '/raft/c', '/raft/a', '/raft/b']
    const made = await Promise.all(names.map((name) => create(system, name)))
    const groups = new Map(made.map(({ name, group }) => [name, group]))
    for (const { name, group } of made) assert.equal(groups.get(name), group)
    assert.equal(new Set(groups.values()).size, 3)
    const listed = await listNamespaces(system, local)
    assert.deepEqual(
      listed.map(({ name }) => name),
      ['/raft/a', '/raft/b', '/raft/c'],
    )
    assert.deepEqual(listed[0]?.voters, [1, 2, 3])
  })

  it('never gives a group again, and serves no one that is being deleted', async () => {
    const system = new MemoryKeyspace()
    const first = await create(system, '/raft/a')
    const closing = await beginClosing(system, '/raft/a')
    await assert.rejects(create(system, '/raft/a'), { code: 'conflict' })
    assert.deepEqual(await beginClosing(system, '/raft/a'), closing)
    await dropNamespace(system, closing)
    assert.equal(await findNamespace(system, '/raft/a'), undefined)
    await assert.rejects(beginClosing(system, '/raft/a'), { code: 'not-found' })
    const second = await create(system, '/raft/a')
    assert.ok(second.group > first.group)
    await assert.rejects(dropNamespace(system, { ...closing, group: first.group }), {
      code: 'conflict',
    })
  })

  it('is looked at again only after a change', async () => {
    const system = new MemoryKeyspace()
    assert.equal(await readMapVersion(system), 0)
    await create(system, '/raft/a')
    const version = await readMapVersion(system)
    await create(system, '/raft/a')
    assert.equal(await readMapVersion(system), version)
    await dropNamespace(system, await beginClosing(system, '/raft/a'))
    assert.ok((await readMapVersion(system)) > version)
  })

  it('is bounded', async () => {
    const system = new MemoryKeyspace()
    const full = {
      txn: async (request: Parameters<MemoryKeyspace['txn']>[0]) => {
        assert.ok(
          request.success.every(({ kind }) => kind === 'range'),
          'nothing is written',
        )
        const answer = await system.txn(request)
        const results = answer.results.map((result) =>
          result.kind === 'range'
            ? { ...result, response: { ...result.response, count: userNamespacesMax } }
            : result,
        )
        return { ...answer, results }
      },
    } as unknown as MemoryKeyspace
    await assert.rejects(create(full, '/raft/a'), { code: 'overloaded' })
  })
})
