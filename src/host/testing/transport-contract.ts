// What every transport must do alike: TLS, the shared key, adapters. The suite speaks to two nodes and to
// strangers, and, where the transport's bytes can be had (`wire`), stands between them and attacks
// (wire-contract.ts). It assumes nothing about what the bytes look like.

import assert from 'node:assert/strict'
import { isFault, nodeId, seededRandom, utf8Decode } from '../../base/index.ts'
import { rejectsWith, type SuiteOptions, suite } from '../contract.ts'
import {
  connectPair,
  dialMs,
  type MakeWorld,
  Receiver,
  text,
  type TransportWorld,
} from './transport-world.ts'
import { wireTests } from './wire-contract.ts'

/** `hasWire`: the worlds have a wire, and somebody on it. */
export function transportContract(
  options: SuiteOptions & { readonly hasWire: boolean; make: MakeWorld },
): void {
  const make = (): Promise<TransportWorld> => options.make()
  const tests = { ...streamTests(make), ...bulkTests(make), ...identityTests(make) }
  const attacks = options.hasWire ? wireTests(make) : {}
  suite({ ...options, what: 'transport' }, { ...tests, ...attacks })
}

function streamTests(make: MakeWorld): Record<string, () => Promise<void>> {
  return {
    'bytes arrive in order in both directions, peers are known': async () => {
      const world = await make()
      const { dialled, accepted, close } = await connectPair(world)
      assert.deepEqual({ ...dialled.peer }, { ...world.one.self })
      assert.deepEqual({ ...accepted.peer }, { ...world.two.self })
      const [up, down] = [new Receiver(accepted), new Receiver(dialled)]
      dialled.send([text('hello')])
      dialled.send([text('wo'), text('r'), new Uint8Array(0), text('ld')])
      accepted.send([text('answer')])
      await Promise.all([up.has(10), down.has(6)])
      assert.equal(utf8Decode(up.bytes), 'helloworld')
      assert.equal(utf8Decode(down.bytes), 'answer')
      await close()
      await world.close?.()
    },
    'a paused receiver stops the sender': async () => {
      const world = await make()
      const { dialled, accepted, close } = await connectPair(world)
      dialled.onBytes = () => undefined
      let received = 0
      accepted.onBytes = (bytes) => {
        received += bytes.length
      }
      accepted.pause()
      const slice = new Uint8Array(256 * 1024)
      let sent = 0
      while (sent < 256 * 1024 * 1024) {
        sent += slice.length
        if (!dialled.send([slice])) break
      }
      assert.ok(sent < 256 * 1024 * 1024, 'send() says that enough is queued')
      accepted.resume()
      await dialled.drained()
      await new Promise<void>((resolve) => {
        accepted.onBytes = (bytes) => {
          received += bytes.length
          if (received === sent) resolve()
        }
        if (received === sent) resolve()
      })
      await close()
      await world.close?.()
    },
    'destroying one end closes both, once; a new connection works': async () => {
      const world = await make()
      const listeners: Receiver[] = []
      const listener = await world.one.listen(world.address, {
        onConnection: (connection) => {
          listeners.push(new Receiver(connection))
          connection.send([text('hello')])
        },
      })
      for (let round = 0; round < 3; round++) {
        const dialled = await world.two.connect(listener.address, { timeoutMs: dialMs })
        const receiver = new Receiver(dialled)
        await receiver.has(5)
        dialled.destroy()
        dialled.destroy()
        await Promise.all([receiver.closed, listeners[round]?.closed])
        assert.equal(dialled.send([text('x')]), false)
        await dialled.drained()
      }
      assert.equal(listeners.length, 3)
      await listener.close()
      await world.close?.()
    },
  }
}

function bulkTests(make: MakeWorld): Record<string, () => Promise<void>> {
  return {
    'much passes through backpressure, unchanged, into a buffer of the receiver': async () => {
      const world = await make()
      const receiveBuffer = new Uint8Array(64 * 1024)
      const { dialled, accepted, close } = await connectPair(world, { receiveBuffer })
      accepted.onBytes = () => undefined
      const slice = seededRandom(1).bytes(100_003)
      const total = slice.length * 160
      let at = 0
      const all = new Promise<void>((resolve) => {
        dialled.onBytes = (bytes) => {
          for (let i = 0; i < bytes.length; i += 97) {
            assert.equal(bytes[i], slice[(at + i) % slice.length])
          }
          at += bytes.length
          if (at === total) resolve()
        }
      })
      let left = 0
      for (let sent = 0; sent < total; sent += slice.length) {
        if (!accepted.send([slice], () => left++)) await accepted.drained()
      }
      await all
      await accepted.drained()
      assert.equal(left, 160, 'the sender learns when its memory is free')
      await close()
      await world.close?.()
    },
    'any sizes of messages arrive as one sequence': async () => {
      const world = await make()
      const { dialled, accepted, close } = await connectPair(world)
      const random = seededRandom(7)
      const [up, down] = [new Receiver(accepted), new Receiver(dialled)]
      const sent: [number[], number[]] = [[], []]
      for (let i = 0; i < 120; i++) {
        const parts = Array.from({ length: random.integer(5) }, () => {
          return random.bytes(random.chance(0.1) ? random.integer(50_000) : random.integer(300))
        })
        const isUp = random.chance(0.5)
        for (const part of parts) for (const byte of part) sent[isUp ? 0 : 1].push(byte)
        if (!(isUp ? dialled : accepted).send(parts)) await (isUp ? dialled : accepted).drained()
      }
      await Promise.all([up.has(sent[0].length), down.has(sent[1].length)])
      assert.deepEqual(up.bytes, new Uint8Array(sent[0]))
      assert.deepEqual(down.bytes, new Uint8Array(sent[1]))
      await close()
      await world.close?.()
    },
  }
}

function identityTests(make: MakeWorld): Record<string, () => Promise<void>> {
  return {
    'a taken address is refused and names the port': async () => {
      const { one, address, close } = await make()
      const options = { onConnection: () => undefined }
      const listener = await one.listen(address, options)
      await assert.rejects(one.listen(listener.address, options), (error) => {
        assert.ok(isFault(error, 'exists'))
        assert.equal(error.fields.port, String(listener.address.port))
        return true
      })
      await listener.close()
      await (await one.listen(listener.address, options)).close()
      await close?.()
    },
    'nobody there is unavailable': async () => {
      const { one, two, address, close } = await make()
      const listener = await one.listen(address, { onConnection: () => undefined })
      await listener.close()
      await rejectsWith('unavailable', two.connect(listener.address, { timeoutMs: 2_000 }))
      await close?.()
    },
    'another node than expected is unauthenticated': async () => {
      const { one, two, address, close } = await make()
      const listener = await one.listen(address, {
        onConnection: (connection) => {
          connection.onBytes = () => undefined
        },
      })
      const options = { expected: nodeId(7), timeoutMs: 2_000 }
      await rejectsWith('unauthenticated', two.connect(listener.address, options))
      await listener.close()
      await close?.()
    },
    'a stranger never becomes a connection, whoever dials': async () => {
      const { one, two, strangers, address, otherAddress, close } = await make()
      assert.ok(Object.keys(strangers).length > 0)
      for (const [what, stranger] of Object.entries(strangers)) {
        const onConnection = (): void => assert.fail(`${what} was accepted`)
        const ours = await one.listen(address, { onConnection })
        const theirs = await stranger.listen(otherAddress, { onConnection })
        await rejectsWith('unauthenticated', stranger.connect(ours.address, { timeoutMs: 2_000 }))
        await rejectsWith('unauthenticated', two.connect(theirs.address, { timeoutMs: 2_000 }))
        await Promise.all([ours.close(), theirs.close()])
      }
      await close?.()
    },
  }
}
