// Ranges of addresses as tokens state them: '10.11.12.0/24', 'fd00::/8', one address, or one host name.

import { equalBytes, Fault } from '../../base/index.ts'

/** Fault 'invalid' for what is no range. */
export function checkAddressPrefix(prefix: string): void {
  if (parsePrefix(prefix) !== undefined || isHostName(prefix)) return
  throw new Fault('invalid', `${prefix.slice(0, 64)} is not an address, a range or a host name`, {
    next: 'give it like 10.11.12.0/24, fd00::/8 or rpi2.local',
  })
}

/** Whether `host` is within; a host name only when the range is that name. */
export function isWithinPrefix(host: string, prefix: string): boolean {
  const range = parsePrefix(prefix)
  const address = parseIp(host)
  if (range === undefined || address === undefined) {
    return host.toLowerCase() === prefix.toLowerCase()
  }
  return (
    address.length === range.bytes.length &&
    equalBytes(masked(address, range.bits), masked(range.bytes, range.bits))
  )
}

function isHostName(text: string): boolean {
  return (
    text.length <= 253 && /^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$/.test(text) && !/^[0-9.]+$/.test(text)
  )
}

function parsePrefix(
  prefix: string,
): { readonly bytes: Uint8Array; readonly bits: number } | undefined {
  if (prefix.length > 64) return undefined
  const [text = '', count, ...rest] = prefix.split('/')
  const bytes = parseIp(text)
  if (bytes === undefined || rest.length > 0) return undefined
  const most = bytes.length * 8
  if (count === undefined) return { bytes, bits: most }
  if (!/^(0|[1-9][0-9]{0,2})$/.test(count) || Number(count) > most) return undefined
  return { bytes, bits: Number(count) }
}

function masked(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, at) => {
    const kept = Math.min(8, Math.max(0, bits - at * 8))
    return byte & (0xff00 >> kept)
  })
}

/** Four or sixteen bytes; undefined for anything but an address. */
export function parseIp(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined
  return text.includes(':') ? parseVersion6(text) : parseVersion4(text)
}

function parseVersion4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  if (!parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)) {
    return undefined
  }
  return Uint8Array.from(parts, Number)
}

function parseVersion6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const [head = [], tail = []] = groups
  const count = head.length + tail.length
  if (halves.length === 1 ? count !== 8 : count > 7) return undefined
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (const [at, group] of [...head, ...tail].entries()) {
    if (!/^[0-9A-Fa-f]{1,4}$/.test(group)) return undefined
    const place = at < head.length ? at : 8 - count + at
    view.setUint16(place * 2, Number.parseInt(group, 16))
  }
  return bytes
}
