// One connection under the shared key, from its first byte: greetings, the proof that the dialling side is
// there, then sealed records. Nothing of the caller's leaves or arrives before both sides have proved the key.
//
// The dialling side's proof is an empty sealed record, sent at once. Without it, a recorded hello that
// somebody plays again would look like a member until its first real record fails.

import { assert, concatBytes, Fault, isFault } from '../../base/index.ts'
import type { ByteConnection, Clock, Connection, PeerIdentity, Timer } from '../../host/index.ts'
import { answerGreeting, DialledGreeting, type GreetingOptions, otherKey } from './core/greeting.ts'
import {
  directionKeys,
  plainBytesMax,
  recordHeaderBytes,
  recordKind,
  RecordOpener,
  RecordParser,
  RecordSealer,
  type RekeyRule,
  writeRecordHeader,
} from './core/records.ts'

export type KeyConnectionOptions = {
  readonly clock: Clock
  readonly greeting: GreetingOptions
  readonly isDialling: boolean
  readonly handshakeMsMax: number
  readonly rekey?: RekeyRule
  /** Exactly one of these two is called, once; perhaps before the constructor returns. */
  readonly onSecured: (connection: KeyConnection) => void
  readonly onRefused: (fault: Fault, connection: KeyConnection) => void
  /** A record that does not open, after the handshake: somebody touched the bytes. */
  readonly onForged: (fault: Fault) => void
}

/** The only refusal that is told: it cannot be sealed, because there is no key in common. */
const refusedOtherKey = 1

export class KeyConnection implements Connection {
  readonly #inner: ByteConnection
  readonly #options: KeyConnectionOptions
  readonly #parser: RecordParser
  readonly #greeting: DialledGreeting | undefined
  #timer: Timer | undefined
  #peer: PeerIdentity | undefined
  #sealer: RecordSealer | undefined
  #opener: RecordOpener | undefined
  #isSecured = false
  #isEnded = false
  #reason: Fault | undefined
  #receive: ((bytes: Uint8Array) => void) | undefined
  #closed: ((reason: Fault | undefined) => void) | undefined
  /** Opened before anybody listened; receiving stops meanwhile. */
  #early: Uint8Array[] = []

  constructor(inner: ByteConnection, options: KeyConnectionOptions) {
    this.#inner = inner
    this.#options = options
    this.#parser = new RecordParser((kind, body) => this.#onRecord(kind, body))
    this.#timer = options.clock.after(options.handshakeMsMax, () => {
      this.#refuse(new Fault('unavailable', 'does not answer'))
    })
    if (options.isDialling) {
      this.#greeting = new DialledGreeting(options.greeting)
      this.#sendRecord(recordKind.handshake, this.#greeting.hello)
    }
    inner.onClose = (reason) => this.#onInnerClose(reason)
    inner.onBytes = (bytes) => this.#push(bytes)
  }

  get peer(): PeerIdentity {
    assert(this.#peer !== undefined, 'the peer of a secured connection')
    return this.#peer
  }

  get remoteAddress(): string {
    return this.#inner.remoteAddress
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    const isFirst = this.#receive === undefined
    this.#receive = receive
    for (const bytes of this.#early.splice(0)) receive(bytes)
    if (isFirst) this.#inner.resume()
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  set onClose(closed: (reason: Fault | undefined) => void) {
    const isFirst = this.#closed === undefined
    this.#closed = closed
    if (isFirst && this.#isEnded) closed(this.#reason)
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#closed ?? (() => undefined)
  }

  /** The caller's memory is free at once: sealing copies. */
  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    const sealer = this.#sealer
    if (this.#isEnded || sealer === undefined) return false
    const sealed: Uint8Array[] = []
    sealAll(sealer, parts, sealed)
    const hasRoom = this.#inner.send(joinSmall(sealed))
    onLeft?.()
    return hasRoom
  }

  drained(): Promise<void> {
    return this.#inner.drained()
  }

  /** What has been received already may still be delivered: at most one buffer of it. */
  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  destroy(): void {
    this.#parser.stop()
    this.#inner.destroy()
  }

  /** Neither secured nor refused yet. */
  get isUnderWay(): boolean {
    return !this.#isSecured && !this.#isEnded
  }

  /** Ends a handshake that is under way. */
  giveUp(fault: Fault): void {
    if (!this.#isSecured) this.#refuse(fault)
  }

  // ---- receiving ----

  #push(bytes: Uint8Array): void {
    try {
      this.#parser.push(bytes)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#fail(error)
    }
  }

  #onRecord(kind: number, body: Uint8Array): void {
    if (kind === recordKind.sealed) this.#onSealed(body)
    else if (this.#sealer !== undefined) throw new Fault('invalid', 'a second handshake')
    else if (kind === recordKind.refusal) this.#onRefusal()
    else if (this.#greeting === undefined) this.#onHello(body)
    else this.#onAnswer(this.#greeting, body)
  }

  #onSealed(body: Uint8Array): void {
    const plain = this.#opener?.open(body)
    if (plain === undefined) {
      throw new Fault('corrupt', 'a record was changed, repeated or out of place')
    }
    if (!this.#isSecured) {
      if (plain.length > 0)
        throw new Fault('invalid', 'bytes before the proof of the dialling side')
      this.#secured()
      return
    }
    if (plain.length === 0) throw new Fault('invalid', 'an empty record')
    if (this.#receive !== undefined) {
      this.#receive(plain)
      return
    }
    this.#early.push(plain)
    this.#inner.pause()
  }

  // ---- the handshake ----

  #onHello(hello: Uint8Array): void {
    const { message, keys, who } = answerGreeting(hello, this.#options.greeting)
    this.#sendRecord(recordKind.handshake, message)
    if (isFault(who)) {
      this.#refuse(who)
      return
    }
    this.#takeKeys(who, directionKeys(keys, false))
  }

  #onAnswer(greeting: DialledGreeting, answer: Uint8Array): void {
    const { peer, keys } = greeting.finish(answer)
    const sealer = this.#takeKeys(peer, directionKeys(keys, true))
    const proof: Uint8Array[] = []
    sealer.seal([], 0, proof)
    this.#inner.send(proof)
    this.#secured()
  }

  #onRefusal(): void {
    if (this.#greeting === undefined) throw new Fault('invalid', 'a refusal from who dialled')
    throw new Fault('unauthenticated', otherKey)
  }

  #takeKeys(
    peer: PeerIdentity,
    keys: { readonly sending: Uint8Array; readonly receiving: Uint8Array },
  ): RecordSealer {
    this.#peer = peer
    this.#sealer = new RecordSealer(keys.sending, this.#options.rekey)
    this.#opener = new RecordOpener(keys.receiving, this.#options.rekey)
    this.#parser.takesSealed = true
    return this.#sealer
  }

  #secured(): void {
    this.#isSecured = true
    this.#timer?.cancel()
    this.#options.onSecured(this)
  }

  #sendRecord(kind: number, body: Uint8Array): void {
    const header = writeRecordHeader(new Uint8Array(recordHeaderBytes), kind, body.length)
    this.#inner.send([header, body])
  }

  // ---- the end ----

  #fail(fault: Fault): void {
    if (!this.#isSecured) {
      const isOtherKey = fault.code === 'unauthenticated' && this.#sealer === undefined
      if (isOtherKey && this.#greeting === undefined) {
        this.#sendRecord(recordKind.refusal, new Uint8Array([refusedOtherKey]))
      }
      this.#refuse(fault)
      return
    }
    this.#reason = fault
    this.#options.onForged(fault)
    this.destroy()
  }

  /** What was sent before (an answer, a refusal) leaves first. */
  #refuse(fault: Fault): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#timer?.cancel()
    this.#parser.stop()
    this.#sealer = undefined
    this.#options.onRefused(fault, this)
    const end = (): void => this.#inner.destroy()
    this.#inner.drained().then(end, end)
  }

  #onInnerClose(reason: Fault | undefined): void {
    if (!this.#isSecured) {
      this.#refuse(new Fault('unavailable', 'closed the connection', { cause: reason }))
      return
    }
    this.#isEnded = true
    this.#parser.stop()
    this.#reason ??= reason
    this.#early = []
    this.#closed?.(this.#reason)
  }
}

/** Cuts the parts into records; a part that is too long for one is cut too. */
function sealAll(sealer: RecordSealer, parts: readonly Uint8Array[], target: Uint8Array[]): void {
  let record: Uint8Array[] = []
  let length = 0
  for (const part of parts) {
    let at = 0
    while (at < part.length) {
      const room = plainBytesMax - length
      const slice = at === 0 && part.length <= room ? part : part.subarray(at, at + room)
      record.push(slice)
      length += slice.length
      at += slice.length
      if (length < plainBytesMax) continue
      sealer.seal(record, length, target)
      record = []
      length = 0
    }
  }
  if (length > 0) sealer.seal(record, length, target)
}

const smallBytes = 1024

/** Headers and tags beside one another leave as one part: a socket's write costs more than copying them. */
function joinSmall(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const joined: Uint8Array[] = []
  let small: Uint8Array[] = []
  const flush = (): void => {
    if (small.length > 0)
      joined.push(small.length === 1 ? (small[0] as Uint8Array) : concatBytes(small))
    small = []
  }
  for (const part of parts) {
    if (part.length <= smallBytes) {
      small.push(part)
      continue
    }
    flush()
    joined.push(part)
  }
  flush()
  return joined
}
