// CRC-64/NVME (NVM Express base specification, 64-bit CRC; reflected polynomial 0x9a6c9329ac4bc9b5), which
// S3 calls CRC64NVME. Slicing by eight (Kounavis and Berry 2005) on pairs of 32-bit halves, because
// 64-bit integers of JavaScript are allocated.

const polynomialHigh = 0x9a6c9329
const polynomialLow = 0xac4bc9b5
const lows = new Int32Array(8 * 256)
const highs = new Int32Array(8 * 256)

for (let byte = 0; byte < 256; byte++) {
  let low = byte
  let high = 0
  for (let bit = 0; bit < 8; bit++) {
    const isOdd = low & 1
    low = (low >>> 1) | (high << 31)
    high = high >>> 1
    if (isOdd === 1) {
      low ^= polynomialLow
      high ^= polynomialHigh
    }
  }
  lows[byte] = low
  highs[byte] = high
}
for (let slice = 1; slice < 8; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = (slice - 1) * 256 + byte
    const low = lows[before] as number
    const high = highs[before] as number
    const step = low & 0xff
    lows[slice * 256 + byte] = ((low >>> 8) | (high << 24)) ^ (lows[step] as number)
    highs[slice * 256 + byte] = (high >>> 8) ^ (highs[step] as number)
  }
}

/** An incremental CRC-64/NVME. digest() gives eight bytes, big-endian, as on the wire. */
export class Crc64Nvme {
  #low = -1
  #high = -1

  update(bytes: Uint8Array): void {
    let low = this.#low
    let high = this.#high
    const whole = bytes.length - (bytes.length % 8)
    let at = 0
    for (; at < whole; at += 8) {
      const a =
        low ^
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24))
      const b =
        high ^
        ((bytes[at + 4] as number) |
          ((bytes[at + 5] as number) << 8) |
          ((bytes[at + 6] as number) << 16) |
          ((bytes[at + 7] as number) << 24))
      const i0 = 1792 + (a & 0xff)
      const i1 = 1536 + ((a >>> 8) & 0xff)
      const i2 = 1280 + ((a >>> 16) & 0xff)
      const i3 = 1024 + (a >>> 24)
      const i4 = 768 + (b & 0xff)
      const i5 = 512 + ((b >>> 8) & 0xff)
      const i6 = 256 + ((b >>> 16) & 0xff)
      const i7 = b >>> 24
      low =
        (lows[i0] as number) ^
        (lows[i1] as number) ^
        (lows[i2] as number) ^
        (lows[i3] as number) ^
        (lows[i4] as number) ^
        (lows[i5] as number) ^
        (lows[i6] as number) ^
        (lows[i7] as number)
      high =
        (highs[i0] as number) ^
        (highs[i1] as number) ^
        (highs[i2] as number) ^
        (highs[i3] as number) ^
        (highs[i4] as number) ^
        (highs[i5] as number) ^
        (highs[i6] as number) ^
        (highs[i7] as number)
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ (bytes[at] as number)) & 0xff
      low = ((low >>> 8) | (high << 24)) ^ (lows[index] as number)
      high = (high >>> 8) ^ (highs[index] as number)
    }
    this.#low = low
    this.#high = high
  }

  digest(): Uint8Array {
    const digest = new Uint8Array(8)
    const view = new DataView(digest.buffer)
    view.setInt32(0, ~this.#high)
    view.setInt32(4, ~this.#low)
    return digest
  }
}
