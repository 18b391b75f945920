// When a certificate's end is a reason to worry. Nodes renew theirs at half of its life, so one that is far beyond that
// is not being renewed: its node is down, or cannot reach the leader.

import type { Certificate } from './answers.ts'

/** Of a life that is not known. */
const lifeMsDefault = 7 * 86_400_000
/** Long-lived ones are not renewed at half of their life by anybody. */
const worryMsMax = 14 * 86_400_000

export type CertificateWorry = 'none' | 'late' | 'ended'

export function worryAbout(
  { issuedMs, notAfterMs }: Pick<Certificate, 'issuedMs' | 'notAfterMs'>,
  nowMs: number,
): CertificateWorry {
  if (nowMs >= notAfterMs) return 'ended'
  const lifeMs = issuedMs > 0 ? notAfterMs - issuedMs : lifeMsDefault
  return notAfterMs - nowMs < Math.min(lifeMs / 4, worryMsMax) ? 'late' : 'none'
}

/** The one that a member shows now: the last to end. */
export function newestOf(
  certificates: readonly Certificate[],
  member: number,
): Certificate | undefined {
  return certificates
    .filter((one) => one.member === member)
    .reduce<Certificate | undefined>(
      (best, one) => (best === undefined || one.notAfterMs > best.notAfterMs ? one : best),
      undefined,
    )
}
