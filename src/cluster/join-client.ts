// The joiner's side of enrolment: keys, whom to trust, the request, the answer. Who connects is the caller.

import { Fault, toHex } from '../base/index.ts'
import { clusterOfAuthority } from './core/identity-names.ts'
import {
  parseJoinAnswer,
  proofOf,
  renderJoinRequest,
  type Transcribed,
  transcriptOf,
} from './core/enrol-messages.ts'
import { proofKeyOf } from './core/join-token.ts'
import type { JoinClient } from './enrolment.ts'

const chainMax = 8

export const joinClient: JoinClient = {
  async makeJoinKeys({ pki }, name) {
    return { node: await pki.makeRequest(name), server: await pki.makeRequest(`${name} servers`) }
  },

  async checkPinnedChain({ pki, clock }, chainPem, pin) {
    const [leafPem, ...rest] = chainPem.slice(0, chainMax)
    if (leafPem === undefined) throw distrust('it showed no certificate')
    const wanted = pin === undefined ? undefined : toHex(pin)
    for (const authorityPem of wanted === undefined ? rest.slice(-1) : rest) {
      const authority = await pki.readCertificate(authorityPem)
      if (wanted !== undefined && !authority.keyHash.startsWith(wanted)) continue
      const atMs = clock.wallMs()
      const leaf = await pki.verify(leafPem, { authorityPem, atMs })
      const clusterId = clusterOfAuthority(authority.subjectName)
      if (clusterId === undefined) throw distrust("its authority is not a cluster's")
      return { authorityPem, clusterId, keyHash: leaf.keyHash }
    }
    throw distrust('none of its certificates is the one that the token names')
  },

  async buildJoinRequest({ pki }, { fields, keys, server, token }) {
    const request: Transcribed = {
      fields,
      nodeRequestPem: keys.node.requestPem,
      serverRequestPem: keys.server.requestPem,
      serverKeyHash: server.keyHash,
      tokenId: token?.id,
    }
    const transcript = transcriptOf(request)
    return renderJoinRequest({
      ...request,
      signature: await pki.sign(keys.node.privateKeyPem, transcript),
      proof: token === undefined ? undefined : proofOf(proofKeyOf(token.secret), transcript),
    })
  },

  parseJoinAnswer,
}

function distrust(why: string): Fault {
  return new Fault('unauthenticated', `the server is not of the token's cluster: ${why}`, {
    fields: { reason: 'pin' },
    next: 'check the address, and that the token is of this cluster; nothing was sent',
  })
}
