// Weighted rendezvous in integers (Schindelhauer and Schomaker 2005; Mosberger's skew-free form): a member of
// weight w with the random draw u in (0, 1] stands at the distance -log2(u) / w, and the nearest are chosen. Its
// share is then exactly w of the sum of weights, and a change of one weight moves shards to or from that member only.
//
// Everybody must rank alike, so nothing here comes from a maths library: the logarithm is a table made by repeated
// squaring, with linear steps between, monotone by construction; two distances are compared by cross-multiplying
// integers below 2^53. With equal weights the order is that of the draws themselves.

const fractionBits = 26
const one = 2 ** fractionBits
const tableBits = 10
const restBits = 31 - tableBits
const rest = 2 ** restBits

/** log2(1 + i / 1024) in units of 2^-26, for i of 0 to 1024. */
const logTable = makeLogTable()

function makeLogTable(): Float64Array {
  const steps = 2 ** tableBits
  const table = new Float64Array(steps + 1)
  for (let step = 0; step < steps; step++) {
    // 26 bits of mantissa: their square is exact.
    let mantissa = one + step * (one / steps)
    let log = 0
    for (let bit = one / 2; bit >= 1; bit /= 2) {
      mantissa = Math.floor((mantissa * mantissa) / one)
      if (mantissa < 2 * one) continue
      mantissa = Math.floor(mantissa / 2)
      log += bit
    }
    table[step] = log
  }
  table[steps] = one
  return table
}

/** -log2((draw + 1) / 2^32) in units of 2^-26, an integer below 2^31; never rises with the draw (0 to 2^32 - 1). */
export function remotenessOf(draw: number): number {
  if (draw === 0xffffffff) return 0
  const value = (draw + 1) >>> 0
  const exponent = 31 - Math.clz32(value)
  const mantissa = (value << (31 - exponent)) >>> 0
  const step = (mantissa >>> restBits) & (2 ** tableBits - 1)
  const low = logTable[step] as number
  const high = logTable[step + 1] as number
  const fraction = low + Math.floor(((high - low) * (mantissa & (rest - 1))) / rest)
  return (32 - exponent) * one - fraction
}

/** The smallest draw that is at most as remote as this; 2^32 when there is none. */
export function leastDrawWithin(remoteness: number): number {
  let low = 0
  let high = 2 ** 32
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (remotenessOf(middle) <= remoteness) high = middle
    else low = middle + 1
  }
  return low
}

/** Bytes that weigh one: 256 MiB. A petabyte and more weigh alike. */
const weightBytes = 2 ** 28
const weightMax = 2 ** 22

/** Members that have not told their capacity weigh what the lightest that has weighs; nobody told: all alike. */
export function weightsOf(capacities: readonly number[]): readonly number[] {
  const told = capacities.filter((bytes) => bytes > 0)
  const least = told.length === 0 ? weightBytes : told.reduce((a, b) => Math.min(a, b))
  return capacities.map((bytes) => {
    const weight = Math.floor((bytes > 0 ? bytes : least) / weightBytes)
    return Math.min(weightMax, Math.max(1, weight))
  })
}
