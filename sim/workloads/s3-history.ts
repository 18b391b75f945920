// What clients did to the objects of one bucket, and whether that can have happened. Every key is a
// linearizable register whose value is the ETag; an ETag stands for exact bytes, so every read compares
// what it got, whole or a range, with what was sent under that ETag.
//
// What is not known is never guessed: a write without an answer may take effect at any time later or
// never; a copy without an answer may have written whatever its source ever held; a common prefix of a list
// says that some key below it was there.

import { digestHex, equalBytes } from '../../src/base/index.ts'
import { isLinearizable, type RegisterOperation } from '../checkers/linearizability.ts'
import {
  isCovered,
  type ListAnswer,
  type ListQuestion,
  problemOfPage,
} from '../checkers/listing.ts'
import { WorldFailure } from '../failures.ts'

type Span = { readonly startMs: number; readonly endMs: number }
type Copy = { readonly source: string; readonly target: string; readonly startMs: number }

const never = Number.POSITIVE_INFINITY

export class ObjectHistory {
  readonly #operations = new Map<string, RegisterOperation[]>()
  readonly #bodies = new Map<string, Uint8Array>()
  /** ETag to the MD5 of the bytes: another value for objects that were put in parts. */
  readonly #contents = new Map<string, string>()
  readonly #copies: (Copy & { readonly endMs: number; readonly etag: string })[] = []
  readonly #unknownCopies: Copy[] = []
  readonly #prefixes: (Span & { readonly prefix: string })[] = []

  /** Every key that anything was done to, in the order of first use. */
  keys(): readonly string[] {
    return [...this.#operations.keys()]
  }

  /** Answers the ETag of bytes that are put as they are. */
  remember(body: Uint8Array): string {
    const etag = digestHex('md5', body)
    this.#bodies.set(etag, body)
    this.#contents.set(etag, etag)
    return etag
  }

  /** Bytes that have, as an object of parts, this ETag. */
  rememberAs(etag: string, body: Uint8Array): void {
    const content = this.remember(body)
    this.#bodies.set(etag, body)
    this.#contents.set(etag, content)
  }

  add(key: string, operation: RegisterOperation): void {
    const known = this.#operations.get(key)
    if (known === undefined) this.#operations.set(key, [operation])
    else known.push(operation)
  }

  /** The object was there with this ETag; `part`: bytes of it, from `at` on, and its whole size. */
  saw(
    key: string,
    etag: string,
    read: Span & {
      readonly at: number
      readonly bytes: Uint8Array | undefined
      readonly size: number
    },
  ): void {
    const body = this.#bodies.get(etag)
    if (body === undefined) throw new WorldFailure(`${key} has ETag ${etag}, which nobody wrote`)
    if (body.length !== read.size) {
      throw new WorldFailure(`${key} with ETag ${etag} has ${read.size} bytes, not ${body.length}`)
    }
    const { at, bytes, startMs, endMs } = read
    if (bytes !== undefined && !equalBytes(bytes, body.subarray(at, at + bytes.length))) {
      throw new WorldFailure(
        `${key} with ETag ${etag} has other bytes in ${bytes.length} from ${at}`,
      )
    }
    this.add(key, { kind: 'read', value: etag, startMs, endMs })
  }

  sawNothing(key: string, { startMs, endMs }: Span): void {
    this.add(key, { kind: 'read', value: undefined, startMs, endMs })
  }

  /** What a page says of every key: shown with an ETag, or not there. */
  sawPage(question: ListQuestion, answer: ListAnswer, span: Span): void {
    const problem = problemOfPage(question, answer)
    if (problem !== undefined) {
      throw new WorldFailure(
        `a list is wrong: ${problem}: ${JSON.stringify(question)} ${JSON.stringify(answer)}`,
      )
    }
    const shown = new Set(answer.objects.map(({ key }) => key))
    for (const { key, etag, size } of answer.objects) {
      this.saw(key, etag, { ...span, at: 0, bytes: undefined, size })
    }
    for (const key of this.keys()) {
      if (shown.has(key) || !isCovered(key, question, answer)) continue
      if (answer.prefixes.some((prefix) => key.startsWith(prefix))) continue
      this.sawNothing(key, span)
    }
    for (const prefix of answer.prefixes) this.#prefixes.push({ prefix, ...span })
  }

  /** A copy whose answer names the ETag: a read of the source and a write of the target. */
  copied(copy: Copy & { readonly endMs: number }, etag: string): void {
    const { source, target, startMs, endMs } = copy
    if (!this.#bodies.has(etag)) {
      throw new WorldFailure(
        `the copy of ${source} to ${target} has ETag ${etag}: nobody wrote that`,
      )
    }
    this.add(target, { kind: 'write', value: etag, startMs, endMs })
    this.#copies.push({ ...copy, etag })
  }

  copyUnknown(copy: Copy): void {
    this.#unknownCopies.push(copy)
  }

  /** The ETag that the key had when it was last seen or surely written. */
  lastKnown(key: string): string | undefined {
    const operations = this.#operations.get(key) ?? []
    for (let i = operations.length - 1; i >= 0; i--) {
      const one = operations[i] as RegisterOperation
      if (one.endMs === never || one.kind === 'presence' || one.isDone === false) continue
      return one.value
    }
    return undefined
  }

  /** Throws WorldFailure for the first key whose history has no order. */
  check(): void {
    this.#resolveCopies()
    for (const [key, operations] of this.#operations) {
      if (isLinearizable(operations)) continue
      const ordered = [...operations].sort((a, b) => a.startMs - b.startMs)
      const lines = ordered.map((one) => JSON.stringify({ ...one, value: one.value?.slice(0, 12) }))
      throw new WorldFailure(`object ${key} is not linearizable:\n${lines.join('\n')}`)
    }
    for (const seen of this.#prefixes) this.#checkPrefix(seen)
  }

  /** Only at the end is it known what the sources can have held: a write in flight may be answered later. */
  #resolveCopies(): void {
    const held = this.#possibleValues()
    for (const { source, target, startMs } of this.#unknownCopies) {
      const operations = this.#operations.get(target) ?? []
      const met = new Set(operations.flatMap(({ value, expected }) => [value, expected]))
      const values = new Set([...(held.get(source) ?? [])].map((etag) => this.#contents.get(etag)))
      // What nobody met is alike: one write stands for all of it.
      const unmet = [...values].some((value) => !met.has(value)) ? [`copy of ${source}`] : []
      for (const value of [...unmet, ...[...values].filter((one) => met.has(one))]) {
        this.add(target, { kind: 'write', value, startMs, endMs: never })
      }
    }
    for (const { source, etag, startMs, endMs } of this.#copies) {
      const fitting = [...(held.get(source) ?? [])].filter(
        (one) => this.#contents.get(one) === etag,
      )
      const [only] = fitting
      if (only === undefined) {
        throw new WorldFailure(`the copy of ${source} has ETag ${etag}, which ${source} never had`)
      }
      if (fitting.length === 1) this.add(source, { kind: 'read', value: only, startMs, endMs })
    }
  }

  /** ETags that each key can have had, also by copies without an answer, and by copies of those. */
  #possibleValues(): ReadonlyMap<string, ReadonlySet<string>> {
    const possible = new Map(this.keys().map((key) => [key, new Set(this.#valuesOf(key))]))
    for (let isGrowing = true; isGrowing; ) {
      isGrowing = false
      for (const { source, target } of this.#unknownCopies) {
        const reached = possible.get(target) ?? new Set<string>()
        possible.set(target, reached)
        const before = reached.size
        for (const etag of possible.get(source) ?? []) reached.add(this.#contents.get(etag) ?? etag)
        if (reached.size > before) isGrowing = true
      }
    }
    return possible
  }

  #checkPrefix({ prefix, startMs, endMs }: Span & { readonly prefix: string }): void {
    const seen = { kind: 'presence', value: undefined, startMs, endMs } as const
    for (const [key, operations] of this.#operations) {
      if (key.startsWith(prefix) && isLinearizable([...operations, seen])) return
    }
    throw new WorldFailure(
      `${prefix} was listed between ${startMs} and ${endMs}, when no key below it can have been there`,
    )
  }

  #valuesOf(key: string): readonly string[] {
    const values = new Set<string>()
    for (const { value } of this.#operations.get(key) ?? []) {
      if (value !== undefined) values.add(value)
    }
    return [...values]
  }
}
