import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, nodeId } from '../base/index.ts'
import { type Member, programVersion } from '../cluster/index.ts'
import { memberCodec, memberKey } from '../cluster/core/records.ts'
import { MemoryKeyspace } from '../cluster/testing/memory-keyspace.ts'
import type { Host } from '../host/index.ts'
import { announceMember } from './announce.ts'
import type { NodeConfig } from './config.ts'

const address = { host: 'h', port: 1 }
const member: Member = {
  id: nodeId(1),
  name: 'node-1',
  state: 'online',
  control: address,
  bulk: address,
  admin: address,
  s3: address,
  labels: {},
  caps: [],
  version: '',
  capacityBytes: 0,
  replaces: undefined,
}

test('a disk that cannot be measured at once is measured again, and then told', async () => {
  const system = new MemoryKeyspace()
  await system.put(memberKey(member.id), memberCodec.encode(member))
  let failuresLeft = 2
  const host = {
    disk: {
      space: async () => {
        if (failuresLeft-- > 0) throw new Fault('unavailable', 'the disk does not answer')
        return { totalBytes: 1_000, freeBytes: 1_000 }
      },
    },
    clock: { sleep: async () => undefined },
    journal: { event: () => undefined, fatal: assert.fail },
  } as unknown as Host
  const config = { self: member.id, listen: {} } as unknown as NodeConfig
  const told = new Promise<void>((resolve) => system.onRevision(resolve))
  const stop = announceMember(config, host, system)
  await told
  const { kvs } = await system.range({ key: memberKey(member.id) })
  const { capacityBytes, version } = memberCodec.decode(kvs[0]?.value ?? new Uint8Array())
  assert.deepEqual([capacityBytes, version], [1_000, programVersion])
  await stop()
})
