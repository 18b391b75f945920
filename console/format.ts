// Numbers and times as people read them.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

export function size(bytes: number): string {
  let value = bytes
  let at = 0
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024
    at++
  }
  const digits = at === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${value.toFixed(digits)} ${units[at]}`
}

/** Thin spaces between thousands. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u2009')
}

/** '1 shard', '2 shards'. */
export function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? '' : 's'}`
}

/** 'a', 'a and b', 'a, b and c'. */
export function listed(names: readonly string[]): string {
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

const steps = [
  { name: 'd', ms: 86_400_000 },
  { name: 'h', ms: 3_600_000 },
  { name: 'min', ms: 60_000 },
  { name: 's', ms: 1_000 },
] as const

/** The two largest units: '3 d 4 h'. */
export function duration(ms: number): string {
  const first = steps.findIndex((step) => ms >= step.ms)
  const large = steps[first]
  if (large === undefined) return '0 s'
  const whole = Math.floor(ms / large.ms)
  const small = steps[first + 1]
  const rest = small === undefined ? 0 : Math.floor((ms % large.ms) / small.ms)
  const tail = small === undefined || rest === 0 ? '' : ` ${rest} ${small.name}`
  return `${whole} ${large.name}${tail}`
}

const farMs = 90 * 86_400_000

/** Far away it is the date. */
export function relative(atMs: number, nowMs: number): string {
  const sinceMs = nowMs - atMs
  if (Math.abs(sinceMs) < 5_000) return 'now'
  if (Math.abs(sinceMs) > farMs) return new Date(atMs).toISOString().slice(0, 10)
  return sinceMs > 0 ? `${duration(sinceMs)} ago` : `in ${duration(-sinceMs)}`
}

export function exact(atMs: number): string {
  return new Date(atMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}

/** 'node-5f2c...' of a long id, readable and still telling. */
export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, 8)}…` : id
}

const consonants = 'bdfghjklmnprstvz'
const vowels = 'aiou'

/**
 * A key's fingerprint ('7f00 0001 ...') as the words that a machine shows of its own key: sixteen bits are a word (proquints,
 * as src/cluster/core/words.ts has them).
 */
export function keyWords(fingerprint: string): string {
  const groups = fingerprint.match(/[0-9a-f]{4}/g) ?? []
  return groups
    .map((group) => {
      const value = Number.parseInt(group, 16)
      const letter = (letters: string, shift: number): string =>
        letters[(value >> shift) & (letters.length - 1)] ?? ''
      return [
        letter(consonants, 12),
        letter(vowels, 10),
        letter(consonants, 6),
        letter(vowels, 4),
        letter(consonants, 0),
      ].join('')
    })
    .join(' ')
}

/** 'admin:CreateToken' and 'member-offline' as words: 'Create token', 'Member offline'. */
export function words(name: string): string {
  const plain = name
    .replace(/^admin:/, '')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('-', ' ')
    .toLowerCase()
  return plain.charAt(0).toUpperCase() + plain.slice(1)
}
