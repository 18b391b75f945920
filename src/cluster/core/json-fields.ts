// Reading JSON that strangers sent: each field with its kind and its bounds, and a fault that names it.

import { assert, Fault } from '../../base/index.ts'
import type { Address } from '../../host/index.ts'

export type TextRule = {
  readonly charsMax: number
  readonly pattern?: RegExp
  readonly what?: string
}

/** One JSON object whose fields are asked for one by one; those nobody asks for are ignored. */
export class JsonFields {
  readonly #fields: Readonly<Record<string, unknown>>
  readonly #where: string

  /** Fault 'invalid' for anything but an object. `where` begins every message. */
  constructor(value: unknown, where: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Fault('invalid', `${where} is not a JSON object`)
    }
    this.#fields = value as Readonly<Record<string, unknown>>
    this.#where = where
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name) && this.#fields[name] !== undefined
  }

  text(name: string, rule: TextRule): string {
    const value = this.#own(name)
    if (typeof value !== 'string') throw this.#wrong(name, 'is not text')
    this.#check(name, value, rule)
    return value
  }

  optionalText(name: string, rule: TextRule): string | undefined {
    return this.has(name) ? this.text(name, rule) : undefined
  }

  /** A whole number from `least` to `most`. */
  integer(
    name: string,
    { least, most }: { readonly least: number; readonly most: number },
  ): number {
    const value = this.#own(name)
    if (
      typeof value !== 'number' ||
      !Number.isSafeInteger(value) ||
      value < least ||
      value > most
    ) {
      throw this.#wrong(name, `is not a whole number from ${least} to ${most}`)
    }
    return value
  }

  /** Absent counts as none. */
  texts(name: string, rule: TextRule & { readonly countMax: number }): readonly string[] {
    if (!this.has(name)) return []
    const list = this.list(name, rule.countMax)
    return list.map((value) => {
      if (typeof value !== 'string') throw this.#wrong(name, 'holds something that is not text')
      this.#check(name, value, rule)
      return value
    })
  }

  list(name: string, countMax: number): readonly unknown[] {
    const value = this.#own(name)
    if (!Array.isArray(value)) throw this.#wrong(name, 'is not a list')
    if (value.length > countMax) throw this.#wrong(name, `holds more than ${countMax}`)
    return value
  }

  /** Names and texts; sorted by name. Absent counts as none. */
  labels(name: string, countMax: number): Readonly<Record<string, string>> {
    if (!this.has(name)) return {}
    const inner = new JsonFields(this.#own(name), `${this.#where}: ${name}`)
    const names = Object.keys(inner.#fields).sort()
    if (names.length > countMax) throw this.#wrong(name, `holds more than ${countMax}`)
    const labels: [string, string][] = names.map((label) => {
      this.#check(name, label, labelNameRule)
      return [label, inner.text(label, { charsMax: 255 })]
    })
    return Object.fromEntries(labels)
  }

  object(name: string): Readonly<Record<string, unknown>> {
    return new JsonFields(this.#own(name), `${this.#where}: ${name}`).#fields
  }

  /** 'host:port', '[v6]:port'. */
  address(name: string): Address {
    const text = this.text(name, { charsMax: 300 })
    const address = parseAddress(text)
    if (address === undefined) throw this.#wrong(name, 'is not an address like 10.11.12.1:6660')
    return address
  }

  #own(name: string): unknown {
    if (!this.has(name)) throw this.#wrong(name, 'is missing')
    return this.#fields[name]
  }

  #check(name: string, value: string, { charsMax, pattern, what }: TextRule): void {
    if (value.length > charsMax) throw this.#wrong(name, `is longer than ${charsMax} characters`)
    if (pattern !== undefined && !pattern.test(value)) {
      throw this.#wrong(name, `is not ${what ?? 'as expected'}`)
    }
    if (!value.isWellFormed()) throw this.#wrong(name, 'is not Unicode')
  }

  #wrong(name: string, what: string): Fault {
    const shown = name.length <= 64 ? name : `${name.slice(0, 64)}...`
    return new Fault('invalid', `${this.#where}: ${shown} ${what}`, { fields: { field: shown } })
  }
}

const labelNameRule: TextRule = {
  charsMax: 63,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._/-]*$/,
  what: 'a label of letters, digits and . _ / -',
}

/** As in a URL: a version 6 address in brackets. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Undefined unless it is a host and a port; a host is letters, digits, '.', '-', or a version 6 address in brackets. */
/** Of a text that formatAddress() made. */
export function requireAddress(text: string): Address {
  const address = parseAddress(text)
  assert(address !== undefined, 'an address of our own')
  return address
}

export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):([1-9][0-9]{0,4})$/.exec(
    text,
  )
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port > 65_535 ? undefined : { host, port }
}
