import { equal, ok } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { charge, checkedShare, createBucket, noteTime } from './pacing.ts'

describe('the bucket', () => {
  it('lets the first through, and the next when that one is paid for', () => {
    const bucket = createBucket()
    const bytesPerSecond = 1_000
    equal(charge(bucket, { nowMs: 50, bytes: 500, bytesPerSecond }), 0)
    equal(charge(bucket, { nowMs: 100, bytes: 500, bytesPerSecond }), 450)
    equal(charge(bucket, { nowMs: 100, bytes: 1, bytesPerSecond }), 950)
  })

  it('earns nothing by resting', () => {
    const bucket = createBucket()
    const bytesPerSecond = 1_000
    charge(bucket, { nowMs: 0, bytes: 100, bytesPerSecond })
    equal(charge(bucket, { nowMs: 90_000, bytes: 100, bytesPerSecond }), 0)
    equal(charge(bucket, { nowMs: 90_000, bytes: 100, bytesPerSecond }), 100)
  })

  it('gives way while units take much longer than they should, and comes back', () => {
    const bucket = createBucket()
    const slow = { bytes: 1_000, ms: 60, idleBytesPerSecond: 1_000_000, share: 0.3 }
    for (let i = 0; i < 40; i++) noteTime(bucket, slow)
    ok(bucket.ease >= 0.1 && bucket.ease < 0.11)
    for (let i = 0; i < 60; i++) noteTime(bucket, { ...slow, ms: 3 })
    equal(bucket.ease, 1)
  })
})

describe('the share', () => {
  it('is kept within its bounds', () => {
    equal(checkedShare(undefined), 0.3)
    equal(checkedShare(0), 0.01)
    equal(checkedShare(7), 1)
  })
})
