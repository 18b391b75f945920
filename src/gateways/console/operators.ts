// Operators: people who log in to the console. A name, a password (only its hash is kept), scopes.
//
// Every change is one transaction on what it was decided on. A changed password, and a name that is made anew, gets a new
// stamp, which ends all sessions that were opened before.

import type { TokenScope } from '../../access/index.ts'
import { Fault, prefixEnd, type Random, revision } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { Compare, Keyspace, KeyValue, Operation } from '../../keyspace/index.ts'
import { Passwords } from '../passwords.ts'
import { base64UrlOf } from './core/base64-url.ts'
import {
  foundedCodec,
  foundedKey,
  type Operator,
  operatorCodec,
  operatorKey,
  operatorPrefix,
} from './core/records.ts'

export const operatorsMax = 256
export const firstOperator = 'admin'
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const passwordCharsMin = 10
const passwordCharsMax = 256
const attemptsMax = 8

/** All but the hash. */
export type ShownOperator = Omit<Operator, 'passwordHash' | 'stamp'>

export class Operators {
  readonly #host: Host
  readonly #system: Keyspace
  readonly #passwords: Passwords

  constructor(host: Host, system: Keyspace) {
    this.#host = host
    this.#system = system
    this.#passwords = new Passwords(
      host,
      () => new Fault('overloaded', 'too many log in at once', { next: 'try again in a moment' }),
    )
  }

  async list(): Promise<readonly ShownOperator[]> {
    const { kvs } = await this.#system.range({
      key: operatorPrefix,
      rangeEnd: prefixEnd(operatorPrefix),
      limit: operatorsMax,
    })
    return kvs.map((kv) => shown(operatorCodec.decode(kv.value)))
  }

  /** Faults 'invalid', 'exists', 'overloaded'. */
  async create(wanted: {
    readonly name: string
    readonly password: string
    readonly scopes: readonly TokenScope[]
  }): Promise<ShownOperator> {
    checkName(wanted.name)
    const operator = await this.#make(wanted)
    const existing = await this.#system.range({
      key: operatorPrefix,
      rangeEnd: prefixEnd(operatorPrefix),
      countOnly: true,
    })
    if (existing.count >= operatorsMax) {
      throw new Fault('overloaded', `there are ${operatorsMax} operators, the most there can be`)
    }
    const { succeeded } = await this.#system.txn({
      compares: [unchanged(operatorKey(operator.name), undefined)],
      success: [put(operatorKey(operator.name), operatorCodec.encode(operator))],
      failure: [],
    })
    if (succeeded) return shown(operator)
    throw new Fault('exists', `there is an operator ${operator.name} already`, {
      next: `give another password: atoll admin operator password ${operator.name}`,
    })
  }

  /**
   * Makes the operator that every cluster begins with, once in the cluster's life: false when it was done before, also if
   * the operator was removed since.
   */
  async createFirst(password: string): Promise<boolean> {
    if ((await this.#find(foundedKey)) !== undefined) return false
    const operator = await this.#make({ name: firstOperator, password, scopes: ['admin'] })
    const founded = foundedCodec.encode({ atMs: operator.createdMs })
    const { succeeded } = await this.#system.txn({
      compares: [
        unchanged(foundedKey, undefined),
        unchanged(operatorKey(firstOperator), undefined),
      ],
      success: [
        put(foundedKey, founded),
        put(operatorKey(firstOperator), operatorCodec.encode(operator)),
      ],
      failure: [],
    })
    return succeeded
  }

  /** Ends all sessions of the operator. Fault 'not-found'. */
  async setPassword(name: string, password: string): Promise<ShownOperator> {
    if (!namePattern.test(name)) throw noOperator(name)
    const passwordHash = await this.#hash(password)
    const key = operatorKey(name)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const found = await this.#find(key)
      if (found === undefined) throw noOperator(name)
      const next = {
        ...operatorCodec.decode(found.value),
        passwordHash,
        stamp: drawStamp(this.#host.random),
        changedMs: Math.floor(this.#host.clock.wallMs()),
      }
      const { succeeded } = await this.#system.txn({
        compares: [unchanged(key, found)],
        success: [put(key, operatorCodec.encode(next))],
        failure: [],
      })
      if (succeeded) return shown(next)
    }
    throw new Fault('conflict', `the operator ${name} is being changed by others`)
  }

  /** Ends all sessions of the operator. Fault 'not-found'. */
  async remove(name: string): Promise<void> {
    const key = operatorKey(name)
    const found = namePattern.test(name) ? await this.#find(key) : undefined
    if (found === undefined) throw noOperator(name)
    const { succeeded } = await this.#system.txn({
      compares: [unchanged(key, found)],
      success: [{ kind: 'delete', key }],
      failure: [],
    })
    if (!succeeded) throw new Fault('conflict', `the operator ${name} is being changed by others`)
  }

  /** Undefined for a wrong password and for an operator who is not there, after as long. */
  async verify(name: string, password: string): Promise<Operator | undefined> {
    const isName = namePattern.test(name) && password.length <= passwordCharsMax
    const found = isName ? await this.#find(operatorKey(name)) : undefined
    const operator = found === undefined ? undefined : operatorCodec.decode(found.value)
    const given = isName ? password.normalize('NFKC') : ''
    const isRight = await this.#passwords.isRight(given, operator?.passwordHash)
    return isRight ? operator : undefined
  }

  /** 120 bits that are easy to copy. */
  drawPassword(): string {
    return base64UrlOf(this.#host.random.bytes(15))
  }

  async #make(wanted: {
    readonly name: string
    readonly password: string
    readonly scopes: readonly TokenScope[]
  }): Promise<Operator> {
    const { name, scopes } = wanted
    const passwordHash = await this.#hash(wanted.password)
    const nowMs = Math.floor(this.#host.clock.wallMs())
    const stamp = drawStamp(this.#host.random)
    return { name, scopes, passwordHash, stamp, createdMs: nowMs, changedMs: nowMs }
  }

  async #hash(password: string): Promise<Uint8Array> {
    const { length } = password
    if (length < passwordCharsMin || length > passwordCharsMax) {
      const what = `a password has ${passwordCharsMin} to ${passwordCharsMax} characters`
      throw new Fault('invalid', what)
    }
    return await this.#passwords.hash(password.normalize('NFKC'))
  }

  async #find(key: Uint8Array): Promise<KeyValue | undefined> {
    return (await this.#system.range({ key })).kvs[0]
  }
}

function shown({ name, scopes, createdMs, changedMs }: Operator): ShownOperator {
  return { name, scopes, createdMs, changedMs }
}

/** 52 random bits. */
function drawStamp(random: Random): number {
  return random.integer(2 ** 26) * 2 ** 26 + random.integer(2 ** 26) + 1
}

function checkName(name: string): void {
  if (namePattern.test(name)) return
  throw new Fault('invalid', 'the name of an operator has 1 to 63 letters, digits, ".", "_", "-"')
}

function noOperator(name: string): Fault {
  return new Fault('not-found', `there is no operator ${name.slice(0, 63)}`, {
    next: 'list them: atoll admin operator list',
  })
}

function put(key: Uint8Array, value: Uint8Array): Operation {
  return { kind: 'put', key, value }
}

function unchanged(key: Uint8Array, kv: KeyValue | undefined): Compare {
  return { key, target: 'mod', result: 'equal', operand: kv?.modRevision ?? revision(0) }
}
