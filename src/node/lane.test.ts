import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, Fault, isFault, nodeId, seededRandom } from '../base/index.ts'
import { createLoopThreads, type Host, type Timer } from '../host/index.ts'
import { settled } from '../host/testing/index.ts'
import type { Keyspaces } from '../keyspace/index.ts'
import type { NodeConfig } from './config.ts'
import { startLane } from './lane.ts'

const config = {
  self: nodeId(1),
  identity: { nodeId: nodeId(1), clusterId: clusterId('ab'.repeat(16)) },
  listen: { control: { host: 'h', port: 1 }, bulk: { host: 'h', port: 2 } },
  control: { endpoints: [{ host: 'h', port: 2379 }], root: '/atoll' },
} as unknown as NodeConfig

/** A host on which no cluster answers; its repeating timers are counted. */
function silentHost() {
  const repeating = new Set<Timer>()
  const seen = { asked: 0 }
  const host = {
    random: seededRandom(1),
    clock: {
      monotonicMs: () => performance.now(),
      soon: setImmediate,
      after: (ms: number, run: () => void) => {
        const timer = setTimeout(run, ms)
        return { cancel: () => clearTimeout(timer) }
      },
      every: () => {
        const timer = { cancel: () => void repeating.delete(timer) }
        repeating.add(timer)
        return timer
      },
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve, reject) => {
          setTimeout(resolve, ms).unref()
          const onAbort = (): void => reject(new Fault('cancelled', 'given up'))
          if (signal?.aborted === true) onAbort()
          else signal?.addEventListener('abort', onAbort)
        }),
    },
    http: {
      connect: async () => {
        seen.asked++
        throw new Fault('unavailable', 'nobody is there')
      },
    },
    network: { secured: (self: NodeConfig['identity']) => ({ self }) },
    journal: { event: () => undefined, fatal: assert.fail },
  } as unknown as Host
  return { host: { ...host, threads: createLoopThreads(host) }, repeating, seen }
}

test('a start that waits for the cluster is given up when it is told, and leaves nothing running', async () => {
  const { host, repeating, seen } = silentHost()
  const lane = await startLane(host, {
    config,
    keyspaces: {} as Keyspaces,
    etcdGroup: () => undefined,
  })
  const giveUp = new AbortController()
  const serving = lane.serve(giveUp.signal)
  await settled(() => seen.asked > 2)
  assert.ok(repeating.size > 0)
  giveUp.abort()
  await assert.rejects(serving, (error) => isFault(error, 'cancelled'))
  await lane.stop()
  assert.equal(repeating.size, 0)
  const asked = seen.asked
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(seen.asked, asked)
  await assert.rejects(lane.serve(giveUp.signal), (error) => isFault(error, 'cancelled'))
})
