// The field GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), whose generator is 2.
// Scalar and small: used to make matrices and tables; long byte strings are the kernel's work, which
// is checked against this file when it starts.

const polynomial = 0x11d

const { exponents, logarithms } = powersOfTwo()

export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return at(exponents, at(logarithms, a) + at(logarithms, b))
}

/** The number that times `a` is 1; `a` is not 0. */
export function invert(a: number): number {
  return at(exponents, 255 - at(logarithms, a))
}

/** For each c of 0..255: c times 0..15, then c times 0, 16, 32 .. 240. 8,192 bytes. */
export function nibbleTables(): Uint8Array {
  const tables = new Uint8Array(256 * 32)
  for (let c = 0; c < 256; c++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      tables[c * 32 + nibble] = multiply(c, nibble)
      tables[c * 32 + 16 + nibble] = multiply(c, nibble * 16)
    }
  }
  return tables
}

function powersOfTwo(): { readonly exponents: Uint8Array; readonly logarithms: Uint8Array } {
  const powers = new Uint8Array(512)
  const logs = new Uint8Array(256)
  let power = 1
  for (let i = 0; i < 255; i++) {
    powers[i] = power
    powers[i + 255] = power
    logs[power] = i
    power = power < 128 ? power * 2 : (power * 2) ^ polynomial
  }
  return { exponents: powers, logarithms: logs }
}

function at(table: Uint8Array, index: number): number {
  return table[index] as number
}
