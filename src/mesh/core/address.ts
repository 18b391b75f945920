// Addresses as text, `host:port`; an IPv6 host stands in brackets.

import { Fault } from '../../base/index.ts'
import type { Address } from '../../host/index.ts'

const textBytesMax = 256

/** Fault 'invalid' for anything else. */
export function parseAddress(text: string): Address {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):([0-9]{1,5})$/.exec(text.slice(0, textBytesMax))
  const port = Number(parts?.[2])
  if (parts === null || text.length > textBytesMax || port < 1 || port > 65_535) {
    throw new Fault('invalid', `'${text.slice(0, 64)}' is not an address, as 10.0.0.1:6660 is`)
  }
  return { host: (parts[1] ?? '').replace(/^\[|\]$/g, ''), port }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
