// Keys as text with one character per byte (U+0000 to U+00FF). The order of such texts under `<` is
// the unsigned lexicographic order of the bytes, comparing them is native, and they serve as map keys.

const charactersMax = 4096

export function keyText(bytes: Uint8Array): string {
  if (bytes.length <= charactersMax) return String.fromCharCode.apply(null, numbersOf(bytes))
  let text = ''
  for (let at = 0; at < bytes.length; at += charactersMax) {
    text += String.fromCharCode.apply(null, numbersOf(bytes.subarray(at, at + charactersMax)))
  }
  return text
}

/** The bytes of a text made by keyText(). */
export function keyBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** apply() takes any array-like; its type says number[]. */
function numbersOf(bytes: Uint8Array): number[] {
  return bytes as unknown as number[]
}
