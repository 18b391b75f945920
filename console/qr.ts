// QR codes (ISO/IEC 18004), as much as tokens need: bytes, error correction level M, versions 1 to 10 (213 bytes at most).
//
// A version is 17 + 4v modules wide. Data and Reed-Solomon blocks over GF(256) (polynomial 0x11d) are interleaved and laid in a
// zigzag of double columns around the fixed patterns; of the eight masks the one with the least penalty is taken.

type Shape = {
  /** Check codewords of each block. */
  readonly checks: number
  /** Numbers of blocks with `data` and with `data` + 1 codewords. */
  readonly blocks: readonly [number, number]
  readonly data: number
  readonly alignment: readonly number[]
}

/** Level M, tables 9 and E.1. */
const shapes: readonly Shape[] = [
  { checks: 10, blocks: [1, 0], data: 16, alignment: [] },
  { checks: 16, blocks: [1, 0], data: 28, alignment: [6, 18] },
  { checks: 26, blocks: [1, 0], data: 44, alignment: [6, 22] },
  { checks: 18, blocks: [2, 0], data: 32, alignment: [6, 26] },
  { checks: 24, blocks: [2, 0], data: 43, alignment: [6, 30] },
  { checks: 16, blocks: [4, 0], data: 27, alignment: [6, 34] },
  { checks: 18, blocks: [4, 0], data: 31, alignment: [6, 22, 38] },
  { checks: 22, blocks: [2, 2], data: 38, alignment: [6, 24, 42] },
  { checks: 22, blocks: [3, 2], data: 36, alignment: [6, 26, 46] },
  { checks: 26, blocks: [4, 1], data: 43, alignment: [6, 28, 50] },
]

/** Rows of modules, true is dark. Throws RangeError for a text of more than 213 bytes. */
export function encodeQr(text: string): boolean[][] {
  const bytes = new TextEncoder().encode(text)
  const version = shapes.findIndex((shape, at) => {
    return bytes.length + (at + 1 < 10 ? 2 : 3) <= capacityOf(shape)
  })
  const shape = shapes[version]
  if (shape === undefined) throw new RangeError(`${bytes.length} bytes are too long for a QR code`)
  const codewords = interleave(packBytes(bytes, shape, version + 1), shape)
  const base = fixedPatterns(version + 1, shape.alignment)
  lay(base, codewords)
  let best: boolean[][] | undefined
  let least = Number.POSITIVE_INFINITY
  for (let mask = 0; mask < 8; mask++) {
    const masked = applyMask(base, mask)
    const penalty = penaltyOf(masked)
    if (penalty < least) {
      least = penalty
      best = masked
    }
  }
  return best ?? []
}

function capacityOf({ blocks, data }: Shape): number {
  return blocks[0] * data + blocks[1] * (data + 1)
}

/** Mode 'bytes', the count, the bytes, four zero bits, then padding. */
function packBytes(bytes: Uint8Array, shape: Shape, version: number): Uint8Array {
  const packed = new Uint8Array(capacityOf(shape))
  let at = 0
  const push = (value: number, width: number): void => {
    for (let bit = width - 1; bit >= 0; bit--, at++) {
      const byte = at >> 3
      packed[byte] = (packed[byte] ?? 0) | (((value >> bit) & 1) << (7 - (at & 7)))
    }
  }
  push(4, 4)
  push(bytes.length, version < 10 ? 8 : 16)
  for (const byte of bytes) push(byte, 8)
  const used = Math.ceil((at + Math.min(4, packed.length * 8 - at)) / 8)
  for (let byte = used; byte < packed.length; byte++)
    packed[byte] = (byte - used) % 2 === 0 ? 0xec : 0x11
  return packed
}

const exponents = new Uint8Array(512)
const logarithms = new Uint8Array(256)
for (let power = 0, value = 1; power < 255; power++) {
  exponents[power] = value
  exponents[power + 255] = value
  logarithms[value] = power
  value = value << 1 > 255 ? (value << 1) ^ 0x11d : value << 1
}

function times(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return exponents[(logarithms[a] ?? 0) + (logarithms[b] ?? 0)] ?? 0
}

/** The remainder of the block by the product of (x - 2^i). */
function checksOf(block: Uint8Array, count: number): Uint8Array {
  let generator = Uint8Array.of(1)
  for (let power = 0; power < count; power++) {
    const next = new Uint8Array(generator.length + 1)
    for (const [at, factor] of generator.entries()) {
      next[at] = (next[at] ?? 0) ^ factor
      next[at + 1] = (next[at + 1] ?? 0) ^ times(factor, exponents[power] ?? 0)
    }
    generator = next
  }
  const rest = new Uint8Array(block.length + count)
  rest.set(block)
  for (let at = 0; at < block.length; at++) {
    const lead = rest[at] ?? 0
    if (lead === 0) continue
    for (const [step, factor] of generator.entries()) {
      rest[at + step] = (rest[at + step] ?? 0) ^ times(factor, lead)
    }
  }
  return rest.subarray(block.length)
}

function interleave(data: Uint8Array, shape: Shape): Uint8Array {
  const [short, long] = shape.blocks
  const blocks: Uint8Array[] = []
  let from = 0
  for (let at = 0; at < short + long; at++) {
    const length = shape.data + (at < short ? 0 : 1)
    blocks.push(data.subarray(from, from + length))
    from += length
  }
  const out: number[] = []
  const spread = (parts: readonly Uint8Array[], length: number): void => {
    for (let at = 0; at < length; at++) {
      for (const part of parts) if (at < part.length) out.push(part[at] ?? 0)
    }
  }
  spread(blocks, shape.data + 1)
  spread(
    blocks.map((block) => checksOf(block, shape.checks)),
    shape.checks,
  )
  return Uint8Array.from(out)
}

/** Undefined: for data. */
type Module = boolean | undefined
type Drawing = { readonly modules: Module[][]; readonly isFixed: boolean[][] }

function fixedPatterns(version: number, alignment: readonly number[]): Drawing {
  const width = 17 + 4 * version
  const modules = Array.from({ length: width }, () => new Array<Module>(width).fill(undefined))
  const set = (x: number, y: number, isDark: boolean): void => {
    const row = modules[y]
    if (row !== undefined && x >= 0 && x < width) row[x] = isDark
  }
  for (let at = 0; at < width; at++) {
    set(at, 6, at % 2 === 0)
    set(6, at, at % 2 === 0)
  }
  const square = (
    x: number,
    y: number,
    radius: number,
    isLight: (ring: number) => boolean,
  ): void => {
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        set(x + dx, y + dy, !isLight(Math.max(Math.abs(dx), Math.abs(dy))))
      }
    }
  }
  const last = width - 4
  for (const [x, y] of [
    [3, 3],
    [last, 3],
    [3, last],
  ] as const) {
    square(x, y, 4, (ring) => ring === 2 || ring === 4)
  }
  const end = alignment.at(-1) ?? 0
  for (const y of alignment) {
    for (const x of alignment) {
      const isFinder = (x === 6 && y === 6) || (x === 6 && y === end) || (x === end && y === 6)
      if (!isFinder) square(x, y, 2, (ring) => ring === 1)
    }
  }
  drawVersion(set, version, width)
  // Places of the format, filled by each mask.
  drawFormat(set, 0, width)
  return { modules, isFixed: modules.map((row) => row.map((module) => module !== undefined)) }
}

type SetModule = (x: number, y: number, isDark: boolean) => void

function drawVersion(set: SetModule, version: number, width: number): void {
  if (version < 7) return
  let rest = version << 12
  for (let bit = 17; bit >= 12; bit--) if ((rest >> bit) & 1) rest ^= 0x1f25 << (bit - 12)
  const bits = (version << 12) | rest
  for (let at = 0; at < 18; at++) {
    const isDark = ((bits >> at) & 1) === 1
    const far = width - 11 + (at % 3)
    const near = Math.floor(at / 3)
    set(far, near, isDark)
    set(near, far, isDark)
  }
}

/** Level M is 00; the mask's three bits, ten check bits, and the fixed exclusive or. */
function drawFormat(set: SetModule, mask: number, width: number): void {
  let rest = mask << 10
  for (let bit = 14; bit >= 10; bit--) if ((rest >> bit) & 1) rest ^= 0x537 << (bit - 10)
  const bits = ((mask << 10) | rest) ^ 0x5412
  for (let at = 0; at < 15; at++) {
    const isDark = ((bits >> at) & 1) === 1
    // Around the first finder, past the timing patterns.
    if (at < 6) set(8, at, isDark)
    else if (at < 8) set(8, at + 1, isDark)
    else if (at === 8) set(7, 8, isDark)
    else set(14 - at, 8, isDark)
    // Along the two others.
    if (at < 8) set(width - 1 - at, 8, isDark)
    else set(8, width - 15 + at, isDark)
  }
  set(8, width - 8, true)
}

/** Two columns at a time from the right, up and down in turn, without the column of the timing pattern. */
function lay({ modules, isFixed }: Drawing, codewords: Uint8Array): void {
  const width = modules.length
  let bit = 0
  let isUp = true
  for (let right = width - 1; right > 0; right -= 2) {
    if (right === 6) right = 5
    for (let step = 0; step < width; step++) {
      const y = isUp ? width - 1 - step : step
      for (const x of [right, right - 1]) {
        const row = modules[y]
        if (row === undefined || isFixed[y]?.[x] === true) continue
        row[x] = (((codewords[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1
        bit++
      }
    }
    isUp = !isUp
  }
}

const masks: readonly ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
]

function applyMask({ modules, isFixed }: Drawing, mask: number): boolean[][] {
  const flips = masks[mask]
  const masked = modules.map((row, y) =>
    row.map((module, x) => {
      const isFlipped = isFixed[y]?.[x] !== true && flips?.(x, y) === true
      return (module === true) !== isFlipped
    }),
  )
  const set: SetModule = (x, y, isDark) => {
    const row = masked[y]
    if (row !== undefined) row[x] = isDark
  }
  drawFormat(set, mask, masked.length)
  return masked
}

function penaltyOf(rows: readonly (readonly boolean[])[]): number {
  const columns = rows.map((_, x) => rows.map((row) => row[x] === true))
  let penalty = 0
  let dark = 0
  for (const line of [...rows, ...columns]) penalty += runsOf(line) + finderLikesOf(line)
  for (const [y, row] of rows.entries()) {
    for (const [x, module] of row.entries()) {
      if (module) dark++
      const below = rows[y + 1]
      if (below === undefined || x + 1 >= row.length) continue
      if (row[x + 1] === module && below[x] === module && below[x + 1] === module) penalty += 3
    }
  }
  const percent = (dark * 100) / rows.length ** 2
  return penalty + Math.floor(Math.abs(percent - 50) / 5) * 10
}

function runsOf(line: readonly boolean[]): number {
  let penalty = 0
  let length = 0
  for (const [at, module] of line.entries()) {
    length = at > 0 && line[at - 1] === module ? length + 1 : 1
    if (length === 5) penalty += 3
    else if (length > 5) penalty++
  }
  return penalty
}

function finderLikesOf(line: readonly boolean[]): number {
  const text = line.map((module) => (module ? '1' : '0')).join('')
  let penalty = 0
  for (const pattern of ['10111010000', '00001011101']) {
    for (let at = text.indexOf(pattern); at !== -1; at = text.indexOf(pattern, at + 1))
      penalty += 40
  }
  return penalty
}
