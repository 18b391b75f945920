// Attacks on a transport by somebody who holds the wire: bytes changed, dropped, repeated, swapped,
// reflected, cut off, recorded and played again, and peers that say nothing or nonsense. Whatever is done,
// a receiver sees an exact beginning of what was sent, and then the end of the connection.

import assert from 'node:assert/strict'
import { isFault, seededRandom } from '../../base/index.ts'
import { rejectsWith } from '../contract.ts'
import type { Address, ByteConnection, Listener } from '../host.ts'
import {
  type MakeWorld,
  Receiver,
  text,
  type TransportWorld,
  type Wire,
} from './transport-world.ts'

type Tests = Record<string, () => Promise<void>>

export function wireTests(make: MakeWorld): Tests {
  const body = (run: (world: WiredWorld) => Promise<void>) => async (): Promise<void> => {
    const world = await make()
    const { wire } = world
    assert.ok(wire !== undefined)
    await run({ ...world, wire })
    await world.close?.()
  }
  const named = { ...changeTests(), ...replayTests(), ...strangeTests() }
  return Object.fromEntries(Object.entries(named).map(([name, run]) => [name, body(run)]))
}

type WiredWorld = TransportWorld & { readonly wire: Wire }
type WiredTests = Record<string, (world: WiredWorld) => Promise<void>>

// ---- who stands between ----

/** What to do with bytes on their way; the default passes them on. */
type Tamper = (
  bytes: Uint8Array,
  ends: { forward(bytes: Uint8Array): boolean; cut(): void },
) => void
const pass: Tamper = (bytes, { forward }) => {
  forward(bytes)
}

class Middle {
  /** From who dialled towards node 1, and back. */
  up = pass
  down = pass
  /** All bytes that the dialling side sent. */
  readonly recorded: Uint8Array[] = []
  /** Where node 1 listens. */
  target: Address | undefined
  /** The end towards who dialled last. */
  near: ByteConnection | undefined
  #listener: Listener | undefined
  readonly #ends: ByteConnection[] = []
  #seen = Promise.withResolvers<void>()

  async listen(world: WiredWorld): Promise<Address> {
    this.#listener = await world.wire.plain.listen(world.otherAddress, {
      onConnection: (near) => {
        assert.ok(this.target)
        world.wire.plain.connect(this.target, { timeoutMs: 5_000 }).then(
          (far) => this.#join(near, far),
          () => near.destroy(),
        )
      },
    })
    return this.#listener.address
  }

  /** Settles when the dialling side's next bytes have come. */
  next(): Promise<void> {
    return this.#seen.promise
  }

  async close(): Promise<void> {
    for (const end of this.#ends) end.destroy()
    await this.#listener?.close()
  }

  #join(near: ByteConnection, far: ByteConnection): void {
    this.near = near
    this.#ends.push(near, far)
    const cut = (): void => {
      near.destroy()
      far.destroy()
    }
    near.onClose = cut
    far.onClose = cut
    const up = (bytes: Uint8Array): boolean => far.send([bytes.slice()])
    const down = (bytes: Uint8Array): boolean => near.send([bytes.slice()])
    near.onBytes = (bytes) => {
      this.recorded.push(bytes.slice())
      this.up(bytes.slice(), { forward: up, cut })
      const seen = this.#seen
      this.#seen = Promise.withResolvers<void>()
      seen.resolve()
    }
    far.onBytes = (bytes) => this.down(bytes.slice(), { forward: down, cut })
  }
}

type Attacked = {
  readonly sent: Uint8Array
  readonly received: Receiver
}

/** Node 2 sends messages to node 1; who stands between lets the first through and attacks the following. */
async function attack(world: WiredWorld, tamper: Tamper): Promise<Attacked> {
  const middle = new Middle()
  const through = await middle.listen(world)
  const accepting = Promise.withResolvers<ByteConnection>()
  const listener = await world.one.listen(world.address, {
    onConnection: (connection) => accepting.resolve(connection),
  })
  middle.target = listener.address
  const dialled = await world.two.connect(through, { timeoutMs: 5_000 })
  const received = new Receiver(await accepting.promise)
  const { closed } = new Receiver(dialled)
  const sent = seededRandom(3).bytes(6_000)
  dialled.send([sent.subarray(0, 1_000)])
  await received.has(1_000)
  middle.up = tamper
  for (let at = 1_000; at < sent.length && !received.isClosed; at += 1_000) {
    const seen = middle.next()
    dialled.send([sent.subarray(at, at + 1_000)])
    await Promise.race([seen, closed, received.closed])
  }
  await received.closed
  await Promise.all([middle.close(), listener.close()])
  return { sent, received }
}

function assertBeginning({ sent, received }: Attacked): void {
  const { length } = received.bytes
  assert.ok(length < sent.length, 'not everything arrived')
  assert.deepEqual(received.bytes, sent.subarray(0, length))
}

// ---- the attacks ----

function changeTests(): WiredTests {
  return {
    'a flipped bit ends the connection, wherever it is': async (world) => {
      for (const place of [0, 0.02, 0.5, 1]) {
        const attacked = await attack(world, (bytes, { forward }) => {
          const at = Math.min(bytes.length - 1, Math.floor(bytes.length * place))
          bytes[at] = (bytes[at] as number) ^ 0x10
          forward(bytes)
          // What the flip made longer gets more bytes, so that it is whole.
          forward(new Uint8Array(70_000))
        })
        assertBeginning(attacked)
      }
    },
    'a byte that is missing or too many ends the connection': async (world) => {
      assertBeginning(
        await attack(world, (bytes, { forward }) => {
          forward(bytes.subarray(1))
          forward(new Uint8Array(70_000))
        }),
      )
      assertBeginning(
        await attack(world, (bytes, { forward }) => {
          forward(new Uint8Array(1))
          forward(bytes)
          forward(new Uint8Array(70_000))
        }),
      )
    },
    'a connection that is cut off shows a beginning and an end': async (world) => {
      let count = 0
      const attacked = await attack(world, (bytes, { forward, cut }) => {
        forward(++count === 1 ? bytes : bytes.subarray(0, bytes.length - 7))
        if (count > 1) cut()
      })
      assertBeginning(attacked)
    },
    'a handshake with changed bytes gives no connection': async (world) => {
      const middle = new Middle()
      const through = await middle.listen(world)
      for (const [direction, at] of [
        ['up', 8],
        ['up', 60],
        ['down', 8],
        ['down', 60],
      ] as const) {
        let isFirst = true
        const flip: Tamper = (bytes, { forward }) => {
          const place = Math.min(at, bytes.length - 1)
          if (isFirst) bytes[place] = (bytes[place] as number) ^ 0x01
          isFirst = false
          forward(bytes)
        }
        middle.up = direction === 'up' ? flip : pass
        middle.down = direction === 'down' ? flip : pass
        const listener = await world.one.listen(world.address, {
          onConnection: () => assert.fail('accepted'),
          handshakeMsMax: 200,
        })
        middle.target = listener.address
        await assert.rejects(world.two.connect(through, { timeoutMs: 1_000 }), (error) => {
          assert.ok(
            isFault(error, 'unauthenticated') || isFault(error, 'unavailable'),
            String(error),
          )
          return true
        })
        await listener.close()
      }
      await middle.close()
    },
  }
}

function replayTests(): WiredTests {
  return {
    'a repeated message ends the connection': async (world) => {
      assertBeginning(
        await attack(world, (bytes, { forward }) => {
          forward(bytes)
          forward(bytes)
        }),
      )
    },
    'swapped messages end the connection': async (world) => {
      let held: Uint8Array | undefined
      assertBeginning(
        await attack(world, (bytes, { forward }) => {
          if (held === undefined) {
            held = bytes
            return
          }
          forward(bytes)
          forward(held)
        }),
      )
    },
    "a sender's own messages sent back to it end the connection": async (world) => {
      const middle = new Middle()
      const through = await middle.listen(world)
      const listener = await world.one.listen(world.address, {
        onConnection: (connection) => {
          new Receiver(connection)
        },
      })
      middle.target = listener.address
      const dialled = await world.two.connect(through, { timeoutMs: 5_000 })
      const received = new Receiver(dialled)
      const back: Uint8Array[] = []
      middle.up = (bytes) => back.push(bytes)
      middle.down = () => undefined
      const seen = middle.next()
      dialled.send([text('mine, and not for me')])
      await seen
      for (const bytes of back) middle.near?.send([bytes])
      await received.closed
      assert.equal(received.bytes.length, 0)
      await Promise.all([middle.close(), listener.close()])
    },
    'a recorded connection played again gives no connection': async (world) => {
      const middle = new Middle()
      const through = await middle.listen(world)
      let accepted = 0
      const listener = await world.one.listen(world.address, {
        onConnection: (connection) => {
          accepted++
          const receiver = new Receiver(connection)
          receiver.has(7).then(() => connection.send([text('thanks')]))
        },
        handshakeMsMax: 500,
      })
      middle.target = listener.address
      const dialled = await world.two.connect(through, { timeoutMs: 5_000 })
      const received = new Receiver(dialled)
      dialled.send([text('pay 100')])
      await received.has(6)
      dialled.destroy()
      await received.closed
      assert.equal(accepted, 1)
      const again = await world.wire.plain.connect(listener.address, { timeoutMs: 5_000 })
      const answer = new Receiver(again)
      for (const bytes of middle.recorded) again.send([bytes])
      await answer.closed
      assert.equal(accepted, 1)
      await Promise.all([middle.close(), listener.close()])
    },
  }
}

function strangeTests(): WiredTests {
  return {
    'a length beyond the limit ends the connection before its bytes come': async (world) => {
      const listener = await world.one.listen(world.address, {
        onConnection: () => assert.fail('accepted'),
        handshakeMsMax: 600_000,
      })
      const dialled = await world.wire.plain.connect(listener.address, { timeoutMs: 5_000 })
      const received = new Receiver(dialled)
      dialled.send([world.wire.oversized])
      await received.closed
      await listener.close()
    },
    'nonsense gives no connection': async (world) => {
      const random = seededRandom(11)
      const listener = await world.one.listen(world.address, {
        onConnection: () => assert.fail('accepted'),
        handshakeMsMax: 100,
      })
      for (let round = 0; round < 20; round++) {
        const dialled = await world.wire.plain.connect(listener.address, { timeoutMs: 5_000 })
        const received = new Receiver(dialled)
        dialled.send([random.bytes(1 + random.integer(400))])
        await received.closed
      }
      await listener.close()
    },
    'who says nothing is cut, whoever dialled': async (world) => {
      const listener = await world.one.listen(world.address, {
        onConnection: () => assert.fail('accepted'),
        handshakeMsMax: 50,
      })
      const dialled = await world.wire.plain.connect(listener.address, { timeoutMs: 5_000 })
      await new Receiver(dialled).closed
      const mute = await world.wire.plain.listen(world.otherAddress, {
        onConnection: (connection) => {
          new Receiver(connection)
        },
      })
      await rejectsWith('unavailable', world.two.connect(mute.address, { timeoutMs: 50 }))
      await Promise.all([listener.close(), mute.close()])
    },
  }
}
