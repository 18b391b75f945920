// `atoll admin join` without an address: asks the local network who has a cluster. What answers is only where to ask; the
// token's pin says whether it is the right one. Several clusters are listed, and none is chosen.

import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { Fault } from '../base/index.ts'
import {
  decodeAnswer,
  type DiscoveryAnswer,
  discoveryGroup,
  encodeQuestion,
} from '../cluster/index.ts'
import type { Address } from '../host/index.ts'
import { createRealHost } from '../host/real/index.ts'
import type { JoinOptions } from './admin-join.ts'
import { pause } from './background.ts'
import { shortCluster } from './short-names.ts'
import { tell } from './terminal.ts'

const roundMs = 400
const rounds = 6
/** After the first answer others are waited for this long: they might be of another cluster. */
const settleMs = 600
const answersMax = 256

/** A member's admin address. Fault 'not-found' or 'conflict', reason 'discovery'. */
export async function findCluster(options: JoinOptions, signal: AbortSignal): Promise<Address> {
  const { machine, cluster } = options
  const answers = await askNetwork(options, signal)
  const wanted = cluster?.toLowerCase().replace(/^c-/, '')
  const found = answers.filter(
    (one) =>
      (wanted === undefined || one.cluster.startsWith(wanted)) && one.region === machine.region,
  )
  const clusters = [...new Set(found.map((one) => one.cluster))].sort()
  const [first] = found
  if (first === undefined) throw nobodyFault(options, answers)
  if (clusters.length > 1) {
    const listed = found.map((one) => `${shortCluster(one.cluster)} at ${one.host}:${one.port}`)
    throw new Fault('conflict', `${clusters.length} clusters answer: ${listed.join(', ')}`, {
      fields: { reason: 'discovery' },
      next: 'say which one is meant with --host ADDRESS:PORT',
    })
  }
  tell(`atoll: found cluster ${shortCluster(first.cluster)} at ${first.host}:${first.port}`)
  return { host: first.host, port: first.port }
}

function nobodyFault(options: JoinOptions, answers: readonly DiscoveryAnswer[]): Fault {
  const others = answers.map((one) => `${shortCluster(one.cluster)} in ${one.region}`)
  const seen = others.length === 0 ? '' : `; there are ${[...new Set(others)].sort().join(', ')}`
  const wanted = options.cluster === undefined ? 'no cluster' : `no cluster ${options.cluster}`
  const where = `of region ${options.machine.region} answers on the local network`
  return new Fault('not-found', `${wanted} ${where}${seen}`, {
    fields: { reason: 'discovery' },
    next: 'give the address of a member with --host ADDRESS:PORT; multicast reaches the same network only',
  })
}

/** Sorted by cluster, then node. */
async function askNetwork(
  { dataDir, machine, cluster }: JoinOptions,
  signal: AbortSignal,
): Promise<readonly DiscoveryAnswer[]> {
  const nonce = randomBytes(16).toString('hex')
  const answers = new Map<string, DiscoveryAnswer>()
  const { datagrams } = createRealHost({
    rootPath: dataDir,
    journal: { format: 'text', level: 'error', name: 'discovery' },
  })
  const { address: interfaceHost } = await lookup(machine.bind, { family: 4 }).catch(() => {
    throw new Fault('unavailable', `${machine.bind} has no address of version 4 to search from`, {
      fields: { reason: 'discovery' },
      next: 'give the address of a member with --host ADDRESS:PORT',
    })
  })
  const socket = await datagrams.open({
    port: 0,
    interfaceHost,
    onDatagram(bytes) {
      const answer = decodeAnswer(bytes, nonce)
      if (answer === undefined || answers.size >= answersMax) return
      answers.set(`${answer.cluster} ${answer.node} ${answer.host}`, answer)
    },
  })
  const digits = cluster?.toLowerCase().replace(/^c-/, '')
  const question = encodeQuestion(digits === undefined ? { nonce } : { nonce, cluster: digits })
  for (let round = 0; round < rounds && answers.size === 0; round++) {
    socket.send(question, { host: discoveryGroup, port: machine.ports.admin })
    await pause(roundMs)
    if (signal.aborted) break
  }
  if (answers.size > 0) await pause(settleMs)
  await socket.close()
  return [...answers.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer)
}
