// Lists of addresses as people give them to commands: '10.11.12.1,10.11.12.2,10.11.12.3', host names allowed.
// The position in the list is the node's number, so that an empty place or a repeated address is refused.

import { Fault } from '../../base/index.ts'

const hostsMax = 1024
const hostLengthMax = 253

/** In list order. `flag` begins every message. Faults 'invalid'. */
export function parseHostList(flag: string, text: string): readonly string[] {
  const hosts = text.split(',', hostsMax + 1).map((host) => host.trim())
  if (hosts.length > hostsMax) throw refusal(flag, `more than ${hostsMax} addresses`)
  const seen = new Set<string>()
  for (const [at, host] of hosts.entries()) {
    if (host === '') throw refusal(flag, `place ${at + 1} is empty`)
    const what = hostProblem(host)
    if (what !== undefined) throw refusal(flag, `'${host.slice(0, 64)}' ${what}`)
    const known = host.toLowerCase()
    if (seen.has(known)) throw refusal(flag, `${host} is listed twice`)
    seen.add(known)
  }
  return hosts
}

/** One address that other nodes reach; Fault 'invalid'. */
export function parseHost(flag: string, text: string): string {
  const what = hostProblem(text)
  if (what !== undefined) throw refusal(flag, `'${text.slice(0, 64)}' ${what}`)
  return text
}

/** 'host:port', 'host', '[v6]:port' or 'https://host:port'. */
export function parseEndpoint(
  flag: string,
  text: string,
  defaultPort: number,
): { readonly host: string; readonly port: number } {
  const bare = text.replace(/^https:\/\//i, '').replace(/\/$/, '')
  const match = /^(\[[0-9A-Fa-f:.]{2,45}\]|[^:/\s[\]]{1,253})(?::([0-9]{1,5}))?$/.exec(bare)
  const port = match?.[2] === undefined ? defaultPort : Number(match[2])
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    const what = `'${text.slice(0, 64)}' is not like 10.11.12.1:${defaultPort}`
    throw refusal(flag, what)
  }
  return { host: parseHost(flag, match[1].replace(/^\[|\]$/g, '')), port }
}

const wildcards = new Set(['0.0.0.0', '::', '*'])

/** Undefined for an address of version 4 or 6, or a host name. */
function hostProblem(host: string): string | undefined {
  if (wildcards.has(host)) return 'is every address; name the one that other nodes reach'
  if (host.length > hostLengthMax) return 'is too long'
  if (/^[0-9.]+$/.test(host)) return isVersion4(host) ? undefined : 'is not an address'
  if (host.includes(':')) return isVersion6(host) ? undefined : 'is not an address'
  const isName = host
    .split('.')
    .every((part) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(part))
  return isName ? undefined : 'is neither an address nor a host name'
}

function isVersion4(host: string): boolean {
  const parts = host.split('.')
  return (
    parts.length === 4 &&
    parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  )
}

function isVersion6(host: string): boolean {
  const halves = host.split('::')
  if (halves.length > 2 || host.length > 45) return false
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false
  return halves.length === 2 ? groups.length <= 7 : groups.length === 8
}

function refusal(flag: string, what: string): Fault {
  return new Fault('invalid', `${flag}: ${what}`, {
    next: 'give addresses that the other machines reach, separated by commas: 10.11.12.1,10.11.12.2',
  })
}
