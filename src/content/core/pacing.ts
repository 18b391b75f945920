// The arithmetic of a throttle: a share of what was measured when nothing held it back, spent byte by byte.
//
// A bucket without depth: each transfer may begin when the ones before it have been paid for, so that a pause earns
// nothing and nothing comes in bursts larger than one unit. Where units take several times longer than the rate
// accounts for, somebody else needs the disk, the network or the processor, and the rate gives way.

/** Less was measured on very small shards only, which say nothing about a disk. */
export const idleRateMin = 8 * 1024 * 1024
export const shareMin = 0.01
export const shareDefault = 0.3
/** What a shard costs beside its bytes: a transaction and a sync. */
export const shardCostBytes = 64 * 1024
const easeMin = 0.1
const easeDown = 0.8
const easeUp = 1.05

export type Bucket = {
  /** When everything that was let through is paid for. */
  paidMs: number
  /** 0.1 to 1: how much of its rate it takes at present. */
  ease: number
}

export function createBucket(): Bucket {
  return { paidMs: 0, ease: 1 }
}

/** How long `bytes` must wait; they are charged now. */
export function charge(
  bucket: Bucket,
  given: { readonly nowMs: number; readonly bytes: number; readonly bytesPerSecond: number },
): number {
  const { nowMs, bytes, bytesPerSecond } = given
  const startMs = Math.max(nowMs, bucket.paidMs)
  bucket.paidMs = startMs + (1000 * bytes) / (bytesPerSecond * bucket.ease)
  return startMs - nowMs
}

/** A unit took this long, its waiting for the bucket not counted. */
export function noteTime(
  bucket: Bucket,
  took: {
    readonly bytes: number
    readonly ms: number
    readonly idleBytesPerSecond: number
    readonly share: number
  },
): void {
  const expectedMs = (1000 * took.bytes) / took.idleBytesPerSecond
  // The other end paces with the same share: units may take 1/share of their idle time without anybody's fault.
  const isContended = took.ms > (2 * expectedMs) / took.share + 1
  bucket.ease = isContended
    ? Math.max(easeMin, bucket.ease * easeDown)
    : Math.min(1, bucket.ease * easeUp)
}

export function checkedShare(share: number | undefined): number {
  return Math.min(1, Math.max(shareMin, share ?? shareDefault))
}
