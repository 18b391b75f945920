// Random requests over a few keys, so that they meet; seeded.

import { type Random, utf8Encode } from '../../base/index.ts'
import type { Compare, Operation, RangeRequest, TxnRequest } from '../keyspace.ts'

const names = ['a', 'aa', 'ab', 'b', 'c', 'ca', 'd', '\u0000z', 'é']
const lengths = [0, 1, 5, 200, 256, 257, 900, 1024, 1025, 3000]

/** Leases of random requests are 1 to this; grant some of them. */
export const leaseIds = 6

export function randomKey(random: Random): Uint8Array {
  return utf8Encode(names[random.integer(names.length)] as string)
}

export function randomValue(random: Random): Uint8Array {
  return random.bytes(lengths[random.integer(lengths.length)] as number)
}

function randomEnd(random: Random): { readonly rangeEnd?: Uint8Array } {
  if (random.chance(0.5)) return {}
  return { rangeEnd: random.chance(0.2) ? Uint8Array.of(0) : randomKey(random) }
}

export function randomRange(
  random: Random,
  revisions: { low: number; high: number },
): RangeRequest {
  const isOld = random.chance(0.5)
  return {
    key: random.chance(0.2) ? Uint8Array.of(0) : randomKey(random),
    ...randomEnd(random),
    limit: random.chance(0.3) ? 1 + random.integer(3) : 0,
    revision: isOld ? revisions.low + random.integer(revisions.high - revisions.low + 1) : 0,
    keysOnly: random.chance(0.2),
    countOnly: random.chance(0.2),
    isReverse: random.chance(0.3),
    isCounted: random.chance(0.3),
    ...randomSort(random),
    ...randomBounds(random, revisions.high),
  }
}

/** Never by value: values here are of any length. */
function randomSort(random: Random): { readonly sortBy?: 'version' | 'create' | 'mod' } {
  if (random.chance(0.7)) return {}
  const sortBy = (['version', 'create', 'mod'] as const)[random.integer(3)]
  return sortBy === undefined ? {} : { sortBy }
}

function randomBounds(random: Random, high: number): Partial<RangeRequest> {
  const bound = (): number => (random.chance(0.1) ? 1 + random.integer(high) : 0)
  return {
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  }
}

function randomCompare(random: Random, high: number): Compare {
  const targets = ['version', 'create', 'mod', 'value', 'lease'] as const
  const results = ['equal', 'greater', 'less', 'not-equal'] as const
  const target = targets[random.integer(targets.length)] ?? 'mod'
  const result = results[random.integer(results.length)] ?? 'equal'
  const isValue = target === 'value'
  return {
    key: randomKey(random),
    ...(isValue ? {} : randomEnd(random)),
    target,
    // The order of long values is not offered.
    result: isValue ? (random.chance(0.5) ? 'equal' : 'not-equal') : result,
    operand: isValue ? randomValue(random) : random.integer(high + 2),
  }
}

function randomOperation(
  random: Random,
  options: { readonly high: number; readonly depth: number },
): Operation {
  const { high, depth } = options
  const draw = random.integer(depth < 2 ? 10 : 8)
  if (draw < 4) {
    const ignoreValue = random.chance(0.1)
    const ignoreLease = random.chance(0.1)
    return {
      kind: 'put',
      key: randomKey(random),
      value: ignoreValue ? new Uint8Array(0) : randomValue(random),
      lease: random.chance(0.3) && !ignoreLease ? 1 + random.integer(leaseIds) : 0,
      previous: random.chance(0.3),
      ignoreValue,
      ignoreLease,
    }
  }
  if (draw < 6) {
    return {
      kind: 'delete',
      key: randomKey(random),
      ...randomEnd(random),
      previous: random.chance(0.3),
    }
  }
  if (draw < 8) return { kind: 'range', request: randomRange(random, { low: high, high }) }
  return { kind: 'txn', request: randomTxn(random, { high, depth: depth + 1 }) }
}

export function randomTxn(
  random: Random,
  options: { readonly high: number; readonly depth: number },
): TxnRequest {
  const operations = (limit: number): Operation[] =>
    Array.from({ length: random.integer(limit + 1) }, () => randomOperation(random, options))
  return {
    compares: Array.from({ length: random.integer(3) }, () => randomCompare(random, options.high)),
    success: operations(4),
    failure: operations(2),
  }
}
