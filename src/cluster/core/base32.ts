// Crockford's base32 (https://www.crockford.com/base32.html) for what people read out and type: no I, L, O, U, and
// reading takes I and L for 1, O for 0, small letters for capitals, and ignores hyphens and spaces.
//
// The check character is ours, because Crockford's own needs symbols that a shell would interpret: the sum of all
// digits over GF(32), each times a power of a generator, must be zero. Every single wrong character and every swap of
// two neighbours is found.

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const lookalikes: Readonly<Record<string, string>> = { I: '1', L: '1', O: '0' }

/** Big-endian; the first character carries the bits that are left over. */
export function formatBase32(bytes: Uint8Array): string {
  const count = Math.ceil((bytes.length * 8) / 5)
  let rest = 0n
  for (const byte of bytes) rest = rest * 256n + BigInt(byte)
  let text = ''
  for (let at = 0; at < count; at++) {
    text = alphabet.charAt(Number(rest % 32n)) + text
    rest /= 32n
  }
  return text
}

/** Canonical characters into exactly `count` bytes; undefined when they hold more, fewer, or other characters. */
export function parseBase32(text: string, count: number): Uint8Array | undefined {
  if (text.length !== Math.ceil((count * 8) / 5)) return undefined
  let value = 0n
  for (const character of text) {
    const digit = alphabet.indexOf(character)
    if (digit < 0) return undefined
    value = value * 32n + BigInt(digit)
  }
  const bytes = new Uint8Array(count)
  for (let at = count - 1; at >= 0; at--) {
    bytes[at] = Number(value % 256n)
    value /= 256n
  }
  return value === 0n ? bytes : undefined
}

/** As it is written: look-alikes resolved, capitals, no hyphens and spaces. Linear in the text. */
export function canonicalBase32(text: string): string {
  let canonical = ''
  for (const character of text.toUpperCase()) {
    if (character === '-' || character === ' ') continue
    canonical += lookalikes[character] ?? character
  }
  return canonical
}

/** The first character that is none of the alphabet; undefined when all are. */
export function strangeCharacter(canonical: string): string | undefined {
  for (const character of canonical) if (!alphabet.includes(character)) return character
  return undefined
}

/** The character after which the whole is consistent. */
export function checkCharacter(canonical: string): string {
  // Horner's rule: the check itself has the factor one, and addition is its own inverse.
  return alphabet.charAt(timesGenerator(weigh(canonical)))
}

/** Whether the last character is the check of the others. */
export function hasCheck(canonical: string): boolean {
  return canonical.length > 1 && weigh(canonical) === 0
}

function weigh(canonical: string): number {
  let sum = 0
  for (const character of canonical) sum = timesGenerator(sum) ^ alphabet.indexOf(character)
  return sum
}

/** By x in GF(2)[x] / (x^5 + x^2 + 1), which is primitive. */
function timesGenerator(value: number): number {
  const doubled = value << 1
  return doubled > 31 ? doubled ^ 0b100101 : doubled
}
