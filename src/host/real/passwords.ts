// scrypt behind the Passwords contract, in the system's pool of threads: the loop goes on meanwhile.

import { scrypt } from 'node:crypto'
import type { Passwords } from '../host.ts'
import { systemFault } from './system-fault.ts'

const hashBytes = 32

export const realPasswords: Passwords = {
  stretch: (password, { salt, cost }) =>
    new Promise((resolve, reject) => {
      const options = { N: 2 ** cost, r: 8, p: 1, maxmem: 2 ** (cost + 11) }
      scrypt(password, salt, hashBytes, options, (error, hash) => {
        if (error === null) resolve(new Uint8Array(hash))
        else reject(systemFault(error, 'a password cannot be hashed'))
      })
    }),
}
