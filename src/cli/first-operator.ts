// The operator that a cluster begins with: name `admin`, a password drawn on this machine, told once and kept beside the
// admin token, readable by its owner only.
//
// The file is written first and the cluster is asked at every start, so that a start that is cut short in between is
// made good by the next one. The cluster makes this operator once in its life: one that was removed, or whose
// password was changed, is not brought back by a file that was left lying about.

import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import * as v from 'valibot'
import { isFault } from '../base/index.ts'
import { type AdminEndpoint, askAdmin } from './admin-client.ts'
import { readText, writeText } from './files.ts'
import { tell } from './terminal.ts'

const askMs = 15_000

export type FirstOperator = {
  readonly operator: string
  readonly passwordFile: string
  /** Present only the time that he was made: to be told once. */
  readonly password?: string
}

/** Undefined, and told why, when the cluster cannot be asked: it serves all the same, and the next start asks again. */
export async function greetOperator(
  endpoint: AdminEndpoint,
  passwordFile: string,
): Promise<FirstOperator | undefined> {
  try {
    return await ensureFirstOperator(endpoint, passwordFile)
  } catch (error) {
    if (!isFault(error)) throw error
    tell(`atoll: the console has no operator yet: ${error.message}`)
    return undefined
  }
}

export function describeOperator(url: string, first: FirstOperator): string {
  const { operator, password, passwordFile } = first
  const told =
    password === undefined
      ? `first password in ${passwordFile}`
      : `password ${password}  (shown this once; kept in ${passwordFile})`
  return `  Console: ${url}  operator ${operator}, ${told}`
}

async function ensureFirstOperator(
  endpoint: AdminEndpoint,
  passwordFile: string,
): Promise<FirstOperator> {
  const kept = readText(passwordFile)?.trim()
  const password = kept ?? randomBytes(15).toString('base64url')
  if (kept === undefined) writeText(passwordFile, `${password}\n`, { isSecret: true })
  const answer = await askAdmin(endpoint, {
    method: 'POST',
    path: '/v1/access/operators/first',
    body: { password },
    timeoutMs: askMs,
  })
  const { operator, made } = v.parse(v.object({ operator: v.string(), made: v.boolean() }), answer)
  // Made by another launcher: this password was never anybody's.
  if (!made && kept === undefined) rmSync(passwordFile, { force: true })
  return { operator, passwordFile, ...(made ? { password } : {}) }
}
