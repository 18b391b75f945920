// The key that all members may share, from a file or the environment. Never from an argument, which every
// user of the machine can read, and never kept in the environment of what this process starts.

import { Fault, toHex } from '../base/index.ts'
import { parseSharedKey } from '../node/index.ts'
import { requireBytes } from './files.ts'

export const keyVariable = 'ATOLL_ENCRYPTION_KEY'

/** The 32 bytes in hexadecimal; undefined when there is neither file nor variable. */
export function readEncryptionKey(
  file: string | undefined,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  const variable = environment[keyVariable]
  delete environment[keyVariable]
  if (file !== undefined && variable !== undefined) {
    throw new Fault('invalid', `both --encryption-key-file and ${keyVariable} are given`, {
      next: 'give one of them',
    })
  }
  if (file !== undefined) return toHex(parseSharedKey(requireBytes(file)))
  return variable === undefined
    ? undefined
    : toHex(parseSharedKey(new TextEncoder().encode(variable)))
}
