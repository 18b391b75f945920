// Names and limits of what tenants own. Names are safe in keys, in ARNs and in policies: no '/', no ':', no wildcard.

import { Fault } from '../../base/index.ts'

export const limits = {
  tenants: 1_000,
  usersPerTenant: 5_000,
  groupsPerTenant: 500,
  policiesPerTenant: 1_500,
  groupsPerUser: 10,
  policiesPerHolder: 10,
  keysPerUser: 4,
  tokens: 1_000,
  certificates: 1_000,
} as const

const namePattern = /^[A-Za-z0-9_+=,.@-]{1,64}$/

/** Fault 'invalid' (ValidationError). `what` begins the message: 'a user's name'. */
export function checkName(name: string, what: string): void {
  if (namePattern.test(name)) return
  throw new Fault('invalid', `${what} is 1 to 64 of A-Z a-z 0-9 and _+=,.@-`, {
    s3: { code: 'ValidationError', status: 400 },
  })
}

export function checkTenantId(id: string): void {
  if (/^\d{12}$/.test(id)) return
  throw new Fault('invalid', 'a tenant is named by its 12 digits', {
    s3: { code: 'ValidationError', status: 400 },
    next: '`atoll admin tenant list` shows them',
  })
}

export const rootArn = (tenant: string): string => `arn:aws:iam::${tenant}:root`
export const userArn = (tenant: string, name: string): string =>
  `arn:aws:iam::${tenant}:user/${name}`
export const groupArn = (tenant: string, name: string): string =>
  `arn:aws:iam::${tenant}:group/${name}`
export const policyArn = (tenant: string, name: string): string =>
  `arn:aws:iam::${tenant}:policy/${name}`

/** Characters without look-alikes in any case: RFC 4648 base32. */
const base32Digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** One character per byte; every digit is as likely. */
export function base32Text(random: Uint8Array): string {
  let text = ''
  for (const byte of random) text += base32Digits.charAt(byte & 31)
  return text
}

const base64Digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** One character per byte, six bits of it each: safe in URLs and headers. */
export function base64Text(random: Uint8Array): string {
  let text = ''
  for (const byte of random) text += base64Digits.charAt(byte & 63)
  return text
}

/** 12 digits of which the first is not 0, so that no number of ours is the first tenant's. */
export function tenantIdOf(random: Uint8Array): string {
  let id = String(1 + ((random[0] ?? 0) % 9))
  for (let at = 1; at < 12; at++) id += String((random[at] ?? 0) % 10)
  return id
}
