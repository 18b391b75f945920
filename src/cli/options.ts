// Reading flags: each value checked, each refusal naming flag, value and what is expected.

import { cpus } from 'node:os'
import { Fault } from '../base/index.ts'
import type { PortPlan } from './ports.ts'

export function parseCount(flag: string, text: string, range: readonly [number, number]): number {
  const value = Number(text)
  const [low, high] = range
  if (/^[0-9]{1,9}$/.test(text) && value >= low && value <= high) return value
  throw new Fault('invalid', `${flag} ${text}: expected a number from ${low} to ${high}`)
}

/** One of the words that the flag knows. */
export function parseChoice<T extends string>(flag: string, text: string, known: readonly T[]): T {
  const found = known.find((one) => one === text)
  if (found !== undefined) return found
  throw new Fault('invalid', `${flag} ${text.slice(0, 40)}: expected ${known.join(', ')}`)
}

/** A small ratio; what bounds it is said where it is used. */
export function parseRatio(flag: string, text: string): number {
  const value = Number(text)
  if (/^0?\.[0-9]{1,6}$/.test(text) && value > 0) return value
  throw new Fault('invalid', `${flag} ${text}: expected a ratio, for example 0.02 for 2 %`)
}

/** '2+1': two data shards and one parity shard. */
export function parseCode(text: string): { readonly data: number; readonly parity: number } {
  const match = /^([0-9]{1,2})\+([0-9]{1,2})$/.exec(text)
  const code = { data: Number(match?.[1]), parity: Number(match?.[2]) }
  if (match !== null && code.data >= 1 && code.data + code.parity <= 32) return code
  throw new Fault('invalid', `--rs ${text}: expected K+M, for example 2+1, with at most 32 shards`)
}

/** The widest useful code for a number of nodes when none is asked for. */
export function defaultCode(nodes: number): { readonly data: number; readonly parity: number } {
  if (nodes === 1) return { data: 1, parity: 0 }
  if (nodes === 2) return { data: 1, parity: 1 }
  return { data: 2, parity: 1 }
}

/** One data thread where there is a second core to run it. */
export function defaultDataThreads(): number {
  return cpus().length > 1 ? 1 : 0
}

export type PortFlags = Partial<Record<keyof PortPlan, number>> & { readonly offset: number }

type RawPortFlags = {
  readonly s3Port?: string
  readonly s3TlsPort?: string
  readonly adminPort?: string
  readonly controlPort?: string
  readonly bulkPort?: string
  readonly portOffset?: string
}

export function parsePorts(raw: RawPortFlags): PortFlags {
  const port = (flag: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseCount(flag, text, [1, 65_535])
  const flags = {
    control: port('--control-port', raw.controlPort),
    bulk: port('--bulk-port', raw.bulkPort),
    admin: port('--admin-port', raw.adminPort),
    s3: port('--s3-port', raw.s3Port),
    s3Tls: port('--s3-tls-port', raw.s3TlsPort),
  }
  const given = Object.entries(flags).filter(([, value]) => value !== undefined)
  const offset = parseCount('--port-offset', raw.portOffset ?? '0', [0, 50_000])
  return { ...(Object.fromEntries(given) as PortFlags), offset }
}
