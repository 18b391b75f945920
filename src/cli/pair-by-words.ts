// The machine's side of pairing: proves to a member that it knows the four words, learns from its proof that the member
// knows them too, and gets a token, with which it joins like any other. The words are never sent.

import { randomBytes } from 'node:crypto'
import { equalSecret, Fault, fromHex, utf8Decode } from '../base/index.ts'
import {
  joinerProof,
  memberProof,
  pairingCost,
  pairingSalt,
  pairingWords,
  parseJoinToken,
  parseWords,
  renderPairingRequest,
} from '../cluster/index.ts'
import type { Address, Host } from '../host/index.ts'
import { faultOfAnswer, openPinned } from './pinned-server.ts'

/** Whether a text is four words rather than a token. */
export function isPairingCode(text: string): boolean {
  return parseWords(text, pairingWords) !== undefined
}

/** The token. Faults as the member answered, and 'unauthenticated' when it does not know the words. */
export async function pairByWords(
  host: Pick<Host, 'pki' | 'clock' | 'passwords'>,
  given: { readonly at: Address; readonly words: string; readonly keyHash: string },
): Promise<string> {
  const code = parseWords(given.words, pairingWords)
  if (code === undefined) {
    throw new Fault('invalid', `a pairing code is ${pairingWords} words of five letters`)
  }
  const pinned = await openPinned(host, given.at, undefined)
  const { clusterId, keyHash: serverKeyHash } = pinned.server
  const key = await host.passwords.stretch(code, {
    salt: pairingSalt(clusterId),
    cost: pairingCost,
  })
  const nonce = randomBytes(16).toString('hex')
  const transcript = { clusterId, nonce, joinerKeyHash: given.keyHash, serverKeyHash }
  const proof = joinerProof(key, transcript)
  const answered = await pinned.post('/pair', renderPairingRequest({ ...transcript, proof }))
  if (answered.status !== 200) throw faultOfAnswer(answered)
  const { token, theirs } = readAnswer(answered.body)
  if (!equalSecret(theirs, memberProof(key, transcript, token))) {
    throw new Fault('unauthenticated', 'the server does not know the words of the pairing code', {
      fields: { reason: 'pin' },
      next: 'see that the address is that of a member of your cluster',
    })
  }
  return token
}

function readAnswer(body: Uint8Array): { readonly token: string; readonly theirs: Uint8Array } {
  let parsed: { readonly token?: unknown; readonly proof?: unknown } | null = null
  try {
    parsed = JSON.parse(utf8Decode(body))
  } catch {
    parsed = null
  }
  const { token, proof } = parsed ?? {}
  if (typeof token !== 'string' || typeof proof !== 'string') {
    throw new Fault('corrupt', 'the answer to the pairing cannot be read')
  }
  parseJoinToken(token)
  return { token, theirs: fromHex(proof) ?? new Uint8Array(0) }
}
