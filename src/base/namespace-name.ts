// Names of namespaces: any text under '/raft/' of at most 255 bytes that can be told apart, shown and put into a
// path. Refused are names that look like others or like nothing (control and format characters, other than NFC), that
// a path would read otherwise (empty parts, '.' and '..'), and the end /transport, so that no command API has the name
// of another one's transport.

import { utf8Encode } from './bytes.ts'
import { Fault } from './fault.ts'

export const namespaceBytesMax = 255
/**
 * Every character that is not seen: controls, formats, lone surrogates, private use, unassigned, line ends, fillers, the blank
 * pattern of Braille, and selectors of variants, but for the one that makes a picture of the sign before it.
 */
const unseen =
  /[\p{C}\p{Zl}\p{Zp}\u2800]|(?!\ufe0f)\p{Default_Ignorable_Code_Point}|(?<!\p{Extended_Pictographic})\ufe0f/u

/** Fault 'invalid' for anything else. */
export function checkNamespaceName(name: string): void {
  const shown = name.slice(0, 64)
  const refused = (why: string): Fault =>
    new Fault('invalid', `'${shown}' is not the name of a namespace: ${why}`, {
      next: 'name it like /raft/cron: /raft/ and visible characters, in parts between slashes',
    })
  if (!name.startsWith('/raft/')) throw refused('it does not begin with /raft/')
  if (name.length > namespaceBytesMax || utf8Encode(name).length > namespaceBytesMax) {
    throw refused(`it has more than ${namespaceBytesMax} bytes`)
  }
  if (unseen.test(name)) throw refused('it has characters that are not seen')
  if (name.normalize('NFC') !== name) throw refused('it is not in the normal form NFC')
  const parts = name.slice(1).split('/')
  if (parts.some((part) => /^\.*$/.test(part.trim()))) {
    throw refused('a part of it is empty, or nothing but dots')
  }
  if (parts.at(-1) === 'transport') throw refused('it ends in /transport')
}
