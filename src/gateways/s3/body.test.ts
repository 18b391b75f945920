import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault } from '../../base/index.ts'
import type { Clock } from '../../host/index.ts'
import { CheckedBody } from './body.ts'

/** A client whose slices come when the test says so; ending the wait ends the body. */
class Client implements AsyncIterable<Uint8Array> {
  #wake: ((step: IteratorResult<Uint8Array, undefined>) => void) | undefined;

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () =>
        new Promise((resolve) => {
          this.#wake = resolve
        }),
      return: async () => {
        this.end()
        return { done: true, value: undefined }
      },
    }
  }

  async send(bytes: number): Promise<void> {
    this.#wake?.({ done: false, value: new Uint8Array(bytes) })
    await new Promise<void>((resolve) => setImmediate(resolve))
  }

  end(): void {
    this.#wake?.({ done: true, value: undefined })
  }
}

/** A body of 1 MiB from a client; `look` is what the clock does every ten seconds. */
function slowly() {
  const client = new Client()
  let looks = 0
  let look = (): void => undefined
  let isCancelled = false
  const clock: Pick<Clock, 'every'> = {
    every: (_ms, run) => {
      look = () => {
        looks++
        run()
      }
      return {
        cancel: () => {
          isCancelled = true
        },
      }
    },
  }
  const claims = {
    length: 1024 * 1024,
    sha256: undefined,
    md5: undefined,
    checksum: undefined,
    needsMd5: false,
  }
  const body = new CheckedBody(client, claims, { decoder: undefined, clock: clock as Clock })
  const read = (async () => {
    let bytes = 0
    for await (const slice of body.slices()) bytes += slice.length
    return bytes
  })()
  const outcome = read.catch((error: unknown) => (isFault(error) ? error.s3.code : error))
  return { client, outcome, look: () => look(), looks: () => looks, isCancelled: () => isCancelled }
}

describe('a client that sends slowly', () => {
  it('is waited for while something comes', async () => {
    const { client, outcome, look, isCancelled } = slowly()
    await client.send(1)
    for (let i = 0; i < 255; i++) {
      look()
      look()
      await client.send(4_096)
    }
    await client.send(4_095)
    client.end()
    assert.equal(await outcome, 1024 * 1024)
    assert.ok(isCancelled())
  })

  it('is given up when nothing comes, or next to nothing', async () => {
    for (const bytes of [0, 1, 1_000]) {
      const { client, outcome, look, looks, isCancelled } = slowly()
      for (let i = 0; i < 3; i++) {
        await client.send(bytes)
        look()
      }
      assert.equal(await outcome, 'RequestTimeout', `${bytes} bytes a look`)
      assert.equal(looks(), 3)
      assert.ok(isCancelled())
    }
  })
})
