// A member's side of discovery: it answers who asks on the local network for a cluster, a bounded number of times a
// second. A machine without multicast is found by its address instead; that is said once and stops nothing.

import { type ClusterId, isFault } from '../base/index.ts'
import type { Address, DatagramSocket, Host } from '../host/index.ts'
import { decodeQuestion, discoveryGroup, encodeAnswer } from './core/discovery.ts'

export type DiscoveryFacts = {
  readonly clusterId: ClusterId
  readonly region: string
  readonly name: string
  readonly admin: Address
}

/** Further questions of the same second are not answered. */
const answersPerSecond = 50

/** Answers a function that ends it. */
export async function answerDiscovery(
  host: Pick<Host, 'datagrams' | 'clock' | 'journal'>,
  facts: DiscoveryFacts,
): Promise<() => Promise<void>> {
  const { admin, clusterId } = facts
  let socket: DatagramSocket | undefined
  let left = answersPerSecond
  const refill = host.clock.every(1_000, () => {
    left = answersPerSecond
  })
  const onDatagram = (bytes: Uint8Array, from: Address): void => {
    const question = decodeQuestion(bytes)
    if (question === undefined || left === 0) return
    if (question.cluster !== undefined && !clusterId.startsWith(question.cluster)) return
    left--
    const answer = encodeAnswer({
      nonce: question.nonce,
      cluster: clusterId,
      region: facts.region,
      node: facts.name,
      ...admin,
    })
    if (answer !== undefined) socket?.send(answer, from)
  }
  try {
    const interfaceHost = admin.host
    const options = { port: admin.port, group: discoveryGroup, interfaceHost, onDatagram }
    socket = await host.datagrams.open(options)
  } catch (error) {
    if (!isFault(error)) throw error
    host.journal.event('notice', 'cluster.discovery_off', { reason: error.message })
  }
  return async () => {
    refill.cancel()
    await socket?.close()
  }
}
