// What a member tells of the trust that it holds: whether a step of rotation has reached it.

import { type Codec, codecOf, message, repeated, text, uint } from '../base/index.ts'

export type TrustReport = {
  /** Of cluster.json on its disk; 0: none. */
  readonly epoch: number
  /** SHA-256 of cluster.json, hexadecimal; '' without. */
  readonly digest: string
  /** Pins of the authorities that it trusts. */
  readonly authorities: readonly string[]
  /** Pin of the authority that signed its certificate. */
  readonly issuer: string
  readonly serial: string
  readonly notAfterMs: number
}

export const trustReportCodec: Codec<TrustReport> = codecOf(
  message({
    epoch: uint(1),
    digest: text(2),
    authorities: repeated(text(3)),
    issuer: text(4),
    serial: text(5),
    notAfterMs: uint(6),
  }),
)
