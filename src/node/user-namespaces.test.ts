import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, groupId, isFault, nodeId } from '../base/index.ts'
import { beginClosing, createNamespace, dropNamespace } from '../cluster/index.ts'
import { MemoryKeyspace } from '../cluster/testing/memory-keyspace.ts'
import { UserNamespaces } from './user-namespaces.ts'

const members = [1, 2, 3].map(nodeId)

/** What is open on this node, and the look that is due. */
function world() {
  const system = new MemoryKeyspace()
  const open = new Set<string>()
  const due: (() => void)[] = []
  /** What an opening waits for, by group; then its Fault, if it has one. */
  const gates = new Map<number, Promise<void>>()
  const deps = {
    host: {
      clock: {
        monotonicMs: () => 0,
        wallMs: () => 5,
        sleep: (_ms: number, signal?: AbortSignal) =>
          new Promise<void>((resolve, reject) => {
            if (signal === undefined) resolve()
            const onAbort = (): void => reject(new Fault('cancelled', 'given up'))
            if (signal?.aborted === true) onAbort()
            else signal?.addEventListener('abort', onAbort)
          }),
        after: (_ms: number, run: () => void) => {
          due.push(run)
          return { cancel: () => undefined }
        },
      },
      journal: { event: () => undefined },
    },
    raft: { group: () => undefined },
    rpc: { serve: () => undefined },
    keyspaces: {
      add: async ({ name, group }: { readonly name: string; readonly group: number }) => {
        await gates.get(group)
        if (open.has(name)) throw new Fault('exists', `${name} is open already`)
        open.add(name)
      },
      remove: (name: string) => void open.delete(name),
      open: async () => ({
        range: async () => ({ kvs: [], more: false }),
      }),
    },
    members: () => members,
    self: nodeId(1),
    system,
  }
  const namespaces = new UserNamespaces(
    deps as unknown as ConstructorParameters<typeof UserNamespaces>[0],
  )
  const look = async (): Promise<void> => {
    for (const run of due.splice(0)) run()
    // A look is a few answers of a keyspace in memory.
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  }
  return { system, open, namespaces, look, gates }
}

test('a namespace that is newer than the list at hand stays open; one that the leader does not know goes', async () => {
  const { system, open, namespaces, look } = world()
  await namespaces.start()
  await createNamespace(system, { name: '/raft/old', members, createdMs: 5 })
  await look()
  assert.deepEqual([...open], ['/raft/old'])

  // What this replica shows reaches up to '/raft/other'; the request asked the leader.
  await createNamespace(system, { name: '/raft/other', members, createdMs: 5 })
  const seen = system.freshness().revision
  await namespaces.create('/raft/new')
  system.localRevision = seen
  await look()
  assert.deepEqual([...open].sort(), ['/raft/new', '/raft/old', '/raft/other'])

  await dropNamespace(system, await beginClosing(system, '/raft/old'))
  system.localRevision = undefined
  await createNamespace(system, { name: '/raft/last', members, createdMs: 5 })
  await look()
  assert.deepEqual([...open].sort(), ['/raft/last', '/raft/new', '/raft/other'])
  await namespaces.close()
})

test('a start that waits for the map is given up when it is told', async () => {
  const { system, namespaces } = world()
  system.range = async () => {
    throw new Fault('unavailable', 'no answer')
  }
  const giveUp = new AbortController()
  const started = namespaces.start({ signal: giveUp.signal })
  giveUp.abort()
  await assert.rejects(started, (error) => isFault(error, 'cancelled'))
  await namespaces.close()
})

test('what is created while a look opens what it found is looked at after it', async () => {
  const { system, open, namespaces, look, gates } = world()
  await namespaces.start()
  const first = await createNamespace(system, { name: '/raft/first', members, createdMs: 5 })
  let pass = (): void => undefined
  gates.set(first.group, new Promise((resolve) => (pass = resolve)))
  await look()
  await createNamespace(system, { name: '/raft/second', members, createdMs: 5 })
  pass()
  await look()
  await look()
  assert.deepEqual([...open].sort(), ['/raft/first', '/raft/second'])
  await namespaces.close()
})

test('an opening that fails late takes nothing with it that was opened under its name since', async () => {
  const { system, open, namespaces, look, gates } = world()
  await namespaces.start()
  const old = await createNamespace(system, { name: '/raft/one', members, createdMs: 5 })
  let fail = (_: Fault): void => undefined
  gates.set(old.group, new Promise((_, reject) => (fail = reject)))
  await look()
  await dropNamespace(system, await beginClosing(system, '/raft/one'))
  const created = namespaces.create('/raft/one')
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn++) await Promise.resolve()
  }
  await settle()
  fail(new Fault('unavailable', 'the log does not answer'))
  const { group } = await created
  await settle()
  assert.ok(group !== old.group)
  assert.deepEqual([...open], ['/raft/one'])
  assert.equal((await namespaces.status('/raft/one')).group, group)
  await namespaces.close()
})

test('what is being opened is open before the close ends, and nothing is opened after it', async () => {
  const { system, open, namespaces, look, gates } = world()
  await namespaces.start()
  let pass = (): void => undefined
  const gate = new Promise<void>((resolve) => (pass = resolve))
  // As many as are opened at a time, and one more.
  for (let number = 0; number <= 64; number++) {
    const name = `/raft/n${number}`
    gates.set((await createNamespace(system, { name, members, createdMs: 5 })).group, gate)
  }
  await look()
  let isOver = false
  const closed = namespaces.close().then(() => {
    isOver = true
  })
  await look()
  assert.deepEqual([isOver, open.size], [false, 0])
  pass()
  await closed
  assert.equal(open.size, 64)
  await look()
  assert.equal(open.size, 64)
})

test('what was dropped is served no more, here at once and elsewhere before the next look', async () => {
  const { system, namespaces, look } = world()
  await namespaces.start()
  const missing = (error: unknown): boolean => isFault(error, 'not-found')
  const here = groupId((await namespaces.create('/raft/here')).group)
  await look()
  await namespaces.drop('/raft/here')
  assert.equal(namespaces.hasLeft(here), false)
  await look()
  assert.equal(namespaces.hasLeft(here), true)
  await assert.rejects(namespaces.status('/raft/here'), missing)

  const { group } = await namespaces.create('/raft/there')
  await look()
  await dropNamespace(system, await beginClosing(system, '/raft/there'))
  await assert.rejects(namespaces.status('/raft/there'), missing)
  await createNamespace(system, { name: '/raft/there', members, createdMs: 5 })
  assert.equal((await namespaces.status('/raft/there')).group, group + 1)
  await namespaces.close()
})

test('a node that has not heard the leader for a second does not go by its own map', async () => {
  const { system, namespaces, look } = world()
  await namespaces.start()
  const { group } = await namespaces.create('/raft/there')
  await look()
  system.localRevision = system.freshness().revision
  await dropNamespace(system, await beginClosing(system, '/raft/there'))
  // The replica here shows it still.
  assert.equal((await namespaces.status('/raft/there')).group, group)
  system.heardMsAgo = 1_001
  await assert.rejects(namespaces.status('/raft/there'), (error) => isFault(error, 'not-found'))
  system.hasLeader = false
  await assert.rejects(namespaces.status('/raft/there'), (error) => isFault(error, 'unavailable'))
  await namespaces.close()
})

test('what was made here is served although the map here does not show it yet', async () => {
  const { system, namespaces, look } = world()
  await namespaces.start()
  await look()
  system.localRevision = system.freshness().revision
  const { group } = await namespaces.create('/raft/new')
  assert.equal((await namespaces.status('/raft/new')).group, group)
  await namespaces.close()
})
