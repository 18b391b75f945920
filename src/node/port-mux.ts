// Several logical channels over the one port between two threads. A message carries its channel's
// number as its last byte, so that the receiver takes a view of the rest and nothing moves.

import { assert } from '../base/index.ts'
import type { Port } from '../host/index.ts'

/** Channels between core and data thread; both ends are the same program version. */
export const laneChannel = { keyspace: 0, control: 1, sql: 2, count: 3 } as const

/** One port per channel, in order of number. Closing one of them closes nothing but itself. */
export function muxPort(port: Port, channels: number): readonly Port[] {
  const ends = Array.from({ length: channels }, (_, number) => new ChannelPort(port, number))
  port.onMessage = (message) => {
    const number = message[message.length - 1]
    const end = number === undefined ? undefined : ends[number]
    assert(end !== undefined, 'a message between threads names its channel')
    end.receive(message.subarray(0, message.length - 1))
  }
  return ends
}

class ChannelPort implements Port {
  readonly #port: Port
  readonly #number: number
  #receive: ((message: Uint8Array) => void) | undefined
  #early: Uint8Array[] = []
  #isClosed = false

  constructor(port: Port, number: number) {
    this.#port = port
    this.#number = number
  }

  get onMessage(): (message: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  /** Messages that came before it is set are given at once, in order. */
  set onMessage(receive: (message: Uint8Array) => void) {
    this.#receive = receive
    const early = this.#early
    this.#early = []
    for (const message of early) receive(message)
  }

  receive(message: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#receive !== undefined) {
      this.#receive(message)
      return
    }
    assert(this.#early.length < earlyMax, 'a channel is listened to soon after it is made')
    this.#early.push(message)
  }

  send(message: Uint8Array): void {
    if (this.#isClosed) return
    const tagged = new Uint8Array(message.length + 1)
    tagged.set(message)
    tagged[message.length] = this.#number
    this.#port.send(tagged, { transfer: true })
  }

  close(): void {
    this.#isClosed = true
    this.#early = []
  }
}

const earlyMax = 1_024
