// Clusters and nodes as people call them: 'c-82d5' and 'n-rpi1'. A cluster's short name is the first four digits of
// its identity; where the whole is asked for, any beginning of at least four digits that is not ambiguous serves.

import type { ClusterId } from '../base/index.ts'

export function shortCluster(id: ClusterId | string): string {
  return `c-${id.slice(0, 4)}`
}

export function shortNode(name: string): string {
  return `n-${name}`
}

/** The name without its 'n-', so that both forms are understood. */
export function plainNode(text: string): string {
  return text.startsWith('n-') ? text.slice(2) : text
}

/** Whether `given` ('c-82d5', '82d5...', the whole) means this cluster. */
export function isCluster(given: string, id: ClusterId | string): boolean {
  const digits = given.toLowerCase().replace(/^c-/, '').replaceAll('-', '')
  return digits.length >= 4 && /^[0-9a-f]{4,32}$/.test(digits) && id.startsWith(digits)
}
