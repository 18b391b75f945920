// Big-endian integers in byte arrays, and memory for many small rows at a time. A typed array of its own
// costs about a microsecond once it is longer than 64 bytes, and a DataView is one more object; a put
// makes half a dozen rows and keys, so both would show.

export function putUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

export function getUint32(source: Uint8Array, at: number): number {
  const high = ((source[at] as number) << 8) | (source[at + 1] as number)
  const low = ((source[at + 2] as number) << 8) | (source[at + 3] as number)
  return ((high << 16) | low) >>> 0
}

/** A safe unsigned integer. */
export function putUint64(target: Uint8Array, at: number, value: number): void {
  putUint32(target, at, Math.floor(value / 0x1_0000_0000))
  putUint32(target, at + 4, value >>> 0)
}

export function getUint64(source: Uint8Array, at: number): number {
  return getUint32(source, at) * 0x1_0000_0000 + getUint32(source, at + 4)
}

/** Gives zeroed bytes that nobody else has. */
export type Allocate = (length: number) => Uint8Array

export const allocateOwn: Allocate = (length) => new Uint8Array(length)

const slabBytesMin = 4096
const slabBytesMax = 64 * 1024
const sharedBytesMax = slabBytesMin

/**
 * Cuts small pieces from larger ones, each given out once. A piece keeps its whole slab alive: for rows that a store
 * copies, and for what is kept together with its neighbours. Each slab is twice as long as the one before, so that
 * thousands of namespaces that are seldom written hold little.
 */
export function createSlab(): Allocate {
  let slab = new Uint8Array(0)
  let at = 0
  return (length) => {
    if (length > sharedBytesMax) return new Uint8Array(length)
    if (slab.length - at < length) {
      slab = new Uint8Array(Math.min(slabBytesMax, Math.max(slabBytesMin, slab.length * 2)))
      at = 0
    }
    const piece = slab.subarray(at, at + length)
    at += length
    return piece
  }
}
