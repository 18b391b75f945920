// How often somebody may try to log in, per operator, per address, and per both. Each is a bucket of tries that fills
// again with time; a try that turns out right gives back what it took. Tries are taken before the password is looked
// at, so that many at once get no more than one after the other.
//
// The bucket of operator and address together is the smallest: whoever guesses from elsewhere runs out of tries long before
// the operator himself is shut out. Every node counts for itself, so a cluster of n allows n times as much.
//
// At most namesMax buckets of a kind; the one that was used longest ago makes room. To use that for forgetting,
// somebody needs namesMax addresses, which is as many tries as the buckets would have given him.

export type LoginLimitOptions = {
  readonly perPair: number
  readonly perOperator: number
  readonly perAddress: number
  /** An empty bucket is full again after this long. */
  readonly refillMs: number
  readonly namesMax: number
}

export const defaultLoginLimits: LoginLimitOptions = {
  perPair: 8,
  perOperator: 100,
  perAddress: 40,
  refillMs: 15 * 60 * 1000,
  namesMax: 4_096,
}

type Bucket = { left: number; atMs: number }

export class LoginLimits {
  readonly #options: LoginLimitOptions
  readonly #buckets = new Map<string, Bucket>()

  constructor(options: LoginLimitOptions = defaultLoginLimits) {
    this.#options = options
  }

  /** Takes a try: 0, or after how many ms there is one again (then nothing is taken). */
  take(operator: string, address: string, nowMs: number): number {
    const wanted = this.#bucketsOf(operator, address, nowMs)
    const { refillMs } = this.#options
    let waitMs = 0
    for (const { bucket, max } of wanted) {
      if (bucket.left < 1) waitMs = Math.max(waitMs, ((1 - bucket.left) * refillMs) / max)
    }
    if (waitMs > 0) return Math.ceil(waitMs)
    for (const { bucket } of wanted) bucket.left--
    return 0
  }

  /** The try was right. */
  giveBack(operator: string, address: string, nowMs: number): void {
    for (const { bucket, max } of this.#bucketsOf(operator, address, nowMs)) {
      bucket.left = Math.min(max, bucket.left + 1)
    }
  }

  #bucketsOf(operator: string, address: string, nowMs: number) {
    const { perPair, perOperator, perAddress } = this.#options
    const network = networkOf(address)
    return [
      { bucket: this.#bucket(`a ${network}`, perAddress, nowMs), max: perAddress },
      { bucket: this.#bucket(`o ${operator}`, perOperator, nowMs), max: perOperator },
      { bucket: this.#bucket(`p ${network} ${operator}`, perPair, nowMs), max: perPair },
    ]
  }

  #bucket(name: string, max: number, nowMs: number): Bucket {
    const found = this.#buckets.get(name)
    const bucket = found ?? { left: max, atMs: nowMs }
    const sinceMs = Math.max(0, nowMs - bucket.atMs)
    bucket.left = Math.min(max, bucket.left + (sinceMs * max) / this.#options.refillMs)
    bucket.atMs = nowMs
    // Insertion order is order of use.
    this.#buckets.delete(name)
    this.#buckets.set(name, bucket)
    if (this.#buckets.size > this.#options.namesMax * 3) {
      const oldest = this.#buckets.keys().next().value
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    return bucket
  }
}

/** An IPv4 address, mapped ones included; of IPv6 the first 64 bits, which one customer has all of. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail = ''] = (address.split('%')[0] ?? '').toLowerCase().split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const zeros = address.includes('::') ? Math.max(0, 8 - front.length - back.length) : 0
  const groups = [...front, ...new Array<string>(zeros).fill('0'), ...back]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
