// Bytes as words that can be said over a telephone: two bytes are a word of five letters, consonant and vowel in turn
// (proquints: D. Wilkerson, A proposal for identifiers that are readable, spellable and pronounceable, 2009). Four
// words are 64 bits: a pairing code, or the beginning of a key's hash.

const consonants = 'bdfghjklmnprstvz'
const vowels = 'aiou'

/** An even number of bytes; words separated by spaces. */
export function formatWords(bytes: Uint8Array): string {
  const words: string[] = []
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    const value = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    words.push(
      (consonants[value >> 12] ?? '') +
        (vowels[(value >> 10) & 3] ?? '') +
        (consonants[(value >> 6) & 15] ?? '') +
        (vowels[(value >> 4) & 3] ?? '') +
        (consonants[value & 15] ?? ''),
    )
  }
  return words.join(' ')
}

/** Patient with capitals, hyphens and spaces; undefined for what are not `count` such words. */
export function parseWords(text: string, count: number): Uint8Array | undefined {
  if (text.length > count * 16) return undefined
  const words = text
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '')
  if (words.length !== count) return undefined
  const bytes = new Uint8Array(count * 2)
  for (const [at, word] of words.entries()) {
    if (word.length !== 5) return undefined
    let value = 0
    for (const [place, letter] of [...word].entries()) {
      const letters = place % 2 === 0 ? consonants : vowels
      const index = letters.indexOf(letter)
      if (index === -1) return undefined
      value = value * letters.length + index
    }
    bytes[at * 2] = value >> 8
    bytes[at * 2 + 1] = value & 0xff
  }
  return bytes
}
