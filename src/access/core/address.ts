// Internet addresses and ranges of them (RFC 4632, RFC 4291), for conditions on where a request comes from.
//
// One address has one form: an IPv4 address mapped into IPv6 (::ffff:10.0.0.1), which is how a socket of both families
// shows it, is the IPv4 address; otherwise a rule for 10.0.0.0/8 would miss it. Octets with leading zeros are refused:
// readers differ on whether they are octal.

/** 4 or 16 bytes. */
export type AddressBytes = readonly number[]

export type AddressRange = { readonly bytes: AddressBytes; readonly bits: number }

const textMax = 64

/** Undefined when it is no address. A zone ('%eth0') says where the link is, not who the address is. */
export function parseAddress(text: string): AddressBytes | undefined {
  if (text.length > textMax) return undefined
  const percent = text.indexOf('%')
  const bare = percent < 0 ? text : text.slice(0, percent)
  if (!bare.includes(':')) return parseFour(bare)
  const bytes = parseSix(bare)
  return bytes === undefined ? undefined : unmapped(bytes)
}

/** 'address' or 'address/bits'. Bits beyond the range are ignored. */
export function parseRange(text: string): AddressRange | undefined {
  if (text.length > textMax || text.includes('%')) return undefined
  const slash = text.indexOf('/')
  const host = slash < 0 ? text : text.slice(0, slash)
  const bytes = host.includes(':') ? parseSix(host) : parseFour(host)
  if (bytes === undefined) return undefined
  const width = bytes.length * 8
  const suffix = slash < 0 ? String(width) : text.slice(slash + 1)
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(suffix) || Number(suffix) > width) return undefined
  const bits = Number(suffix)
  const plain = unmapped(bytes)
  if (plain.length === bytes.length) return { bytes, bits }
  return bits >= 96 ? { bytes: plain, bits: bits - 96 } : { bytes, bits }
}

/** An address of the other family is in no range. */
export function isInRange(address: AddressBytes, range: AddressRange): boolean {
  if (address.length !== range.bytes.length) return false
  for (let at = 0; at * 8 < range.bits; at++) {
    const count = Math.min(8, range.bits - at * 8)
    const mask = (0xff << (8 - count)) & 0xff
    if (((address[at] ?? 0) & mask) !== ((range.bytes[at] ?? 0) & mask)) return false
  }
  return true
}

function parseFour(text: string): AddressBytes | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const bytes: number[] = []
  for (const part of parts) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    bytes.push(Number(part))
  }
  return bytes
}

function parseSix(text: string): AddressBytes | undefined {
  const gap = text.indexOf('::')
  if (gap < 0) {
    const all = parseGroups(text)
    return all?.length === 16 ? all : undefined
  }
  const before = gap === 0 ? [] : parseGroups(text.slice(0, gap), false)
  const after = gap + 2 === text.length ? [] : parseGroups(text.slice(gap + 2))
  if (before === undefined || after === undefined) return undefined
  const missing = 16 - before.length - after.length
  if (missing < 2) return undefined
  return [...before, ...new Array<number>(missing).fill(0), ...after]
}

/** Groups of four hexadecimal digits; the last may be an IPv4 address. */
function parseGroups(text: string, mayEndInFour = true): number[] | undefined {
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [at, group] of groups.entries()) {
    if (mayEndInFour && at === groups.length - 1 && group.includes('.')) {
      const four = parseFour(group)
      if (four === undefined) return undefined
      bytes.push(...four)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes.length <= 16 ? bytes : undefined
}

function unmapped(bytes: AddressBytes): AddressBytes {
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0)
  return isMapped && bytes[10] === 0xff && bytes[11] === 0xff ? bytes.slice(12) : bytes
}
