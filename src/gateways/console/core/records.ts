// Records of the console in '/raft/system', sealed (base/sealed.ts); kinds 64 to 71 are the console's.
//
//   console/operator/<name>      Operator
//   console/founded              CounterRecord, written once: the first operator was made, whatever became of him
//   console/session/<sha256>     Session; the name is the hash of the cookie's secret, in hexadecimal. The secret is nowhere.

import { type TokenScope, tokenScopes } from '../../../access/index.ts'
import {
  bytes,
  type Codec,
  codecOf,
  mapped,
  message,
  repeated,
  sealedRecord,
  sha256,
  text,
  toHex,
  uint,
  utf8Encode,
} from '../../../base/index.ts'

export type Operator = {
  readonly name: string
  readonly scopes: readonly TokenScope[]
  /** As gateways/passwords.ts makes it. */
  readonly passwordHash: Uint8Array
  /** Drawn anew with every password: sessions that were opened under another one have ended. */
  readonly stamp: number
  readonly createdMs: number
  readonly changedMs: number
}

export type Session = {
  readonly operator: string
  /** The operator's at that time. */
  readonly stamp: number
  readonly createdMs: number
  readonly expiresMs: number
  /** Address that it was opened from. */
  readonly source: string
}

export const operatorPrefix = utf8Encode('console/operator/')
export const operatorKey = (name: string): Uint8Array => utf8Encode(`console/operator/${name}`)
export const foundedKey = utf8Encode('console/founded')
export const sessionPrefix = utf8Encode('console/session/')
export const sessionKey = (secret: string): Uint8Array =>
  utf8Encode(`console/session/${toHex(sha256(secret))}`)

const operatorFields = message({
  name: text(1),
  scopes: repeated(text(2)),
  passwordHash: bytes(3),
  stamp: uint(4),
  createdMs: uint(5),
  changedMs: uint(6),
})

/** A scope that this version does not know opens nothing here. */
export const operatorCodec: Codec<Operator> = sealedRecord(
  'operator',
  64,
  mapped(
    codecOf(operatorFields),
    (operator: Operator) => operator,
    (raw): Operator => ({
      ...raw,
      scopes: tokenScopes.filter((scope) => raw.scopes.includes(scope)),
    }),
  ),
)

const sessionFields = message({
  operator: text(1),
  stamp: uint(2),
  createdMs: uint(3),
  expiresMs: uint(4),
  source: text(5),
})
export const sessionCodec: Codec<Session> = sealedRecord('session', 65, codecOf(sessionFields))

const foundedFields = message({ atMs: uint(1) })
export const foundedCodec: Codec<{ readonly atMs: number }> = sealedRecord(
  'founded',
  66,
  codecOf(foundedFields),
)
