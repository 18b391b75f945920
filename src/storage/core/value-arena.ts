// Values of a layer of rows, one after the other in slabs. A value is named by a number: as objects of their own,
// thousands of them would outlive the young generation and die with their layer, which is what the garbage
// collector is worst at.
//
//   slab   (length 4, bytes)..., big-endian; a long value has a slab of its own
//
// What was written stays: a value that is replaced leaves its place unused until the layer goes.

/** Place of a value: number of the slab, offset in it. `gone` stands for none. */
export type HeldValue = number
export const gone: HeldValue = -1

const slabBytes = 64 * 1024
const sharedBytesMax = 4096
const lengthBytes = 4
const noSlab = new Uint8Array(0)

export class ValueArena {
  readonly #slabs: Uint8Array[] = []
  /** The slab that is being filled, its number and where the next value goes. */
  #slab = noSlab
  #number = -1
  #at = 0
  #bytes = 0

  /** Of all values that were ever kept here. */
  get bytes(): number {
    return this.#bytes
  }

  /** Copies it. */
  keep(value: Uint8Array): HeldValue {
    const need = lengthBytes + value.length
    this.#bytes += need
    if (need > sharedBytesMax) {
      const own = new Uint8Array(need)
      write(own, 0, value)
      return (this.#slabs.push(own) - 1) * slabBytes
    }
    if (this.#slab.length - this.#at < need) {
      this.#slab = new Uint8Array(slabBytes)
      this.#number = this.#slabs.push(this.#slab) - 1
      this.#at = 0
    }
    const held = this.#number * slabBytes + this.#at
    write(this.#slab, this.#at, value)
    this.#at += need
    return held
  }

  /** A view: the arena's bytes never change. */
  view(held: HeldValue): Uint8Array {
    const slab = this.#slabOf(held)
    const at = (held % slabBytes) + lengthBytes
    return slab.subarray(at, at + getUint32(slab, at - lengthBytes))
  }

  #slabOf(held: HeldValue): Uint8Array {
    return this.#slabs[Math.floor(held / slabBytes)] ?? noSlab
  }
}

function write(slab: Uint8Array, at: number, value: Uint8Array): void {
  const { length } = value
  slab[at] = length >>> 24
  slab[at + 1] = length >>> 16
  slab[at + 2] = length >>> 8
  slab[at + 3] = length
  slab.set(value, at + lengthBytes)
}

function getUint32(slab: Uint8Array, at: number): number {
  const high = ((slab[at] as number) << 8) | (slab[at + 1] as number)
  const low = ((slab[at + 2] as number) << 8) | (slab[at + 3] as number)
  return ((high << 16) | low) >>> 0
}
