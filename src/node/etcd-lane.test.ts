import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, nodeId } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { LaneMessage } from './lane-messages.ts'
import { EtcdLink, type EtcdParts, etcdGateway } from './etcd-lane.ts'

/** A link whose questions are answered at once, on a clock that counts the timers that run. */
function world() {
  const timers = new Set<Timer>()
  const group = { term: 1, leader: 1, commit: 1, applied: 1, leaderChanges: 0 }
  const configuration = { isLearner: false, voters: [1], learners: [] }
  const link: EtcdLink = new EtcdLink((message: LaneMessage) => {
    if (message.kind === 'group-wanted') {
      queueMicrotask(() => link.take({ kind: 'group', group: { ...group, ...configuration } }))
    }
  })
  const ports = { isTaken: true }
  const seen = { listeners: 0 }
  const host = {
    clock: {
      every: () => {
        const timer = { cancel: () => void timers.delete(timer) }
        timers.add(timer)
        return timer
      },
    },
    http: {
      serve: async () => {
        if (ports.isTaken) throw new Fault('exists', 'the port is taken')
        return { close: async () => undefined }
      },
    },
  } as unknown as Host
  const parts = {
    config: { self: nodeId(1), listen: {}, etcdTls: undefined },
    etcd: { host: 'h', port: 2379 },
    keyspaces: {
      open: async () => ({
        onRevision: () => {
          seen.listeners++
          return () => seen.listeners--
        },
      }),
    },
    view: { settings: () => ({ clusterId: 'ab' }) },
    link,
  } as unknown as EtcdParts
  return { host, link, start: etcdGateway(host, parts), ports, timers, seen }
}

test('a server that cannot listen leaves nothing behind, and is served when it can', async () => {
  const { start, ports, timers, seen } = world()
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(start(), (error) => isFault(error, 'exists'))
    assert.equal(timers.size, 0)
  }
  ports.isTaken = false
  const end = await start()
  assert.equal(timers.size, 1)
  await end()
  assert.equal(timers.size, 0)
  await (await start())()
  assert.equal(seen.listeners, 1)
})

test('a move of leadership ends with the server', async () => {
  const { host, link } = world()
  await link.begin(host)
  const moving = link.moveLeader(2)
  link.end()
  await assert.rejects(moving, (error) => isFault(error, 'unavailable'))
})
