// A seeded generator (xoshiro128**, Blackman and Vigna 2018) for the simulator, for tests and for
// cores that are handed a seed. Not for secrets: those come from Host.random, which is the system's.

export type Random = {
  /** Uniform in [0, limit); limit at most 2^32. */
  integer(limit: number): number
  /** True with the given probability. */
  chance(ratio: number): boolean
  bytes(count: number): Uint8Array
}

/** Equal seeds give equal sequences on every machine. */
export function seededRandom(seed: number): Random {
  let state = Math.floor(seed) >>> 0
  const split = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let a = split()
  let b = split()
  let c = split()
  let d = split()
  const next = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result
  }
  return {
    integer: (limit) => Math.floor((next() / 0x1_0000_0000) * limit),
    chance: (ratio) => next() / 0x1_0000_0000 < ratio,
    bytes(count) {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++) bytes[i] = next() >>> 24
      return bytes
    },
  }
}
