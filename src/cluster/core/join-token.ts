// A join token as people carry it: at1.<id>.<secret>.<pin and check>, in Crockford's base32.
//
//   id       6 characters that lists show and that revoke it
//   secret   128 bits: the key of a proof, never sent
//   pin      the first 128 bits of the SHA-256 of the authority's SubjectPublicKeyInfo, so that the machine that
//            joins knows whom it talks to before it says anything
//   check    one character over all of the others
//
// Reading is patient with how it was typed and exact about what is wrong, because people copy these by hand.

import { Fault, sha256 } from '../../base/index.ts'
import {
  canonicalBase32,
  checkCharacter,
  formatBase32,
  hasCheck,
  parseBase32,
  strangeCharacter,
} from './base32.ts'

export const tokenSecretBytes = 16
export const tokenPinBytes = 16
export const tokenIdBytes = 4
const idLength = 6
const secretLength = 26
const pinLength = 26
const version = 'at1'
/** Of a text that is looked at: spaces and hyphens of a patient typist included. */
const textMax = 256

export type JoinToken = {
  /** As shown: six characters. */
  readonly id: string
  readonly secret: Uint8Array
  readonly pin: Uint8Array
}

/** Six characters out of four random bytes. */
export function tokenIdOf(bytes: Uint8Array): string {
  return formatBase32(bytes).slice(-idLength)
}

export function formatJoinToken({ id, secret, pin }: JoinToken): string {
  const pieces = [id, formatBase32(secret), formatBase32(pin)]
  return `${version}.${pieces.join('.')}${checkCharacter(pieces.join(''))}`
}

/** Fault 'invalid' that says what is wrong with it, never what it holds. */
export function parseJoinToken(text: string): JoinToken {
  if (text.length > textMax) throw wrong('it is too long')
  const [head = '', ...rest] = text.trim().split('.')
  if (!/^at[0-9]{1,3}$/i.test(head)) throw wrong('it does not begin with at1.')
  if (head.toLowerCase() !== version) {
    throw wrong(`tokens of kind ${head} are of a newer program`, 'update this machine first')
  }
  if (rest.length !== 3) throw wrong(`it has ${rest.length} parts after at1., not 3`)
  const [id = '', secret = '', tail = ''] = rest.map(canonicalBase32)
  for (const [name, part, length] of [
    ['first', id, idLength],
    ['second', secret, secretLength],
    ['last', tail, pinLength + 1],
  ] as const) {
    const strange = strangeCharacter(part)
    if (strange !== undefined) {
      const shown = /^[!-~]$/.test(strange) ? `'${strange}'` : 'a character that no token has'
      throw wrong(`its ${name} part holds ${shown}`)
    }
    if (part.length !== length) {
      throw wrong(`its ${name} part has ${part.length} characters, not ${length}`)
    }
  }
  if (!hasCheck(id + secret + tail)) throw wrong('at least one character is mistyped')
  const secretBytes = parseBase32(secret, tokenSecretBytes)
  const pin = parseBase32(tail.slice(0, -1), tokenPinBytes)
  if (secretBytes === undefined || pin === undefined) throw wrong('no token reads like this')
  return { id, secret: secretBytes, pin }
}

/** Key of the proof: what the cluster keeps of a secret. */
export function proofKeyOf(secret: Uint8Array): Uint8Array {
  return sha256(secret)
}

function wrong(what: string, next = 'copy it again from where it was made, whole'): Fault {
  return new Fault('invalid', `this is not a join token: ${what}`, { next })
}
