// Text on the S3 wire: percent-encoding, strict UTF-8, base64, and header values (whose bytes arrive as
// latin-1 text). All linear in their input; nothing is allocated beyond the size of the input.

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()
const base64Digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const base64Values = new Int8Array(128).fill(-1)
for (let i = 0; i < 64; i++) base64Values[base64Digits.charCodeAt(i)] = i

/**
 * The text of well-formed UTF-8, undefined otherwise. A leading byte order mark is kept: without
 * ignoreBOM two different keys would become one.
 */
export function strictUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Bytes of the text in UTF-8. */
export function utf8Length(text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff)) length += 1
    else length += 2
  }
  return length
}

/** Undefined for a malformed escape or when the bytes are not UTF-8. `plusIsSpace`: in a query. */
export function percentDecode(raw: string, plusIsSpace: boolean): string | undefined {
  let isPlain = true
  for (let i = 0; i < raw.length && isPlain; i++) {
    const unit = raw.charCodeAt(i)
    isPlain = unit !== 0x25 && unit < 0x80 && !(plusIsSpace && unit === 0x2b)
  }
  if (isPlain) return raw
  const bytes = new Uint8Array(raw.length)
  let length = 0
  for (let i = 0; i < raw.length; i++) {
    let byte = raw.charCodeAt(i)
    if (byte > 0xff) return undefined
    if (byte === 0x25) {
      const high = hexValue(raw.charCodeAt(i + 1))
      const low = hexValue(raw.charCodeAt(i + 2))
      if (high < 0 || low < 0) return undefined
      byte = high * 16 + low
      i += 2
    } else if (byte === 0x2b && plusIsSpace) byte = 0x20
    bytes[length++] = byte
  }
  return strictUtf8(bytes.subarray(0, length))
}

function hexValue(unit: number): number {
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30
  if (unit >= 0x41 && unit <= 0x46) return unit - 0x37
  if (unit >= 0x61 && unit <= 0x66) return unit - 0x57
  return -1
}

/** UriEncode of Signature Version 4: everything but A-Z a-z 0-9 - . _ ~ becomes %XX. */
export function uriEncode(text: string): string {
  return isUnreserved(text, -1) ? text : encodeRest(encodeURIComponent(text))
}

/** The same for a path: '/' stays. Also the encoding of keys under encoding-type=url. */
export function uriEncodePath(text: string): string {
  if (isUnreserved(text, 0x2f)) return text
  return encodeRest(encodeURIComponent(text)).replaceAll('%2F', '/')
}

function encodeRest(encoded: string): string {
  return encoded.replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function isUnreserved(text: string, also: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    const isAlphanumeric =
      (unit >= 0x61 && unit <= 0x7a) ||
      (unit >= 0x41 && unit <= 0x5a) ||
      (unit >= 0x30 && unit <= 0x39)
    if (isAlphanumeric || unit === also) continue
    if (unit !== 0x2d && unit !== 0x2e && unit !== 0x5f && unit !== 0x7e) return false
  }
  return true
}

/** The bytes that a header value stands for. */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** The bytes of a text in UTF-8 as a header value. */
export function utf8AsLatin1(text: string): string {
  if (isAscii(text)) return text
  let value = ''
  for (const byte of encoder.encode(text)) value += String.fromCharCode(byte)
  return value
}

/** What a header value says: its bytes as UTF-8 where they are, as latin-1 otherwise. */
export function headerText(value: string): string {
  if (isAscii(value)) return value
  return strictUtf8(latin1Bytes(value)) ?? value
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

export function base64Encode(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const a = bytes[i] as number
    const b = bytes[i + 1]
    const c = bytes[i + 2]
    text += base64Digits.charAt(a >> 2) + base64Digits.charAt(((a & 3) << 4) | ((b ?? 0) >> 4))
    text += b === undefined ? '=' : base64Digits.charAt(((b & 15) << 2) | ((c ?? 0) >> 6))
    text += c === undefined ? '=' : base64Digits.charAt(c & 63)
  }
  return text
}

/** Undefined unless the text is canonical base64 with padding. */
export function base64Decode(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  let at = 0
  let bits = 0
  let count = 0
  for (let i = 0; i < text.length - padding; i++) {
    const value = base64Values[text.charCodeAt(i)] ?? -1
    if (value < 0) return undefined
    bits = ((bits << 6) | value) & 0xffff
    count += 6
    if (count >= 8) {
      count -= 8
      bytes[at++] = (bits >> count) & 0xff
    }
  }
  return (bits & ((1 << count) - 1)) === 0 ? bytes : undefined
}
