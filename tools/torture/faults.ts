// What goes wrong, round by round, drawn from the seed: kill -9 of one, two or all nodes, again while they start; pauses;
// and, where nodes have networks of their own, partitions and delays.

import type { Random } from '../../src/base/index.ts'
import { count, type Counts, sleep } from './load.ts'
import { type Machine, readyMsMax } from './machines.ts'
import type { Networks } from './networks.ts'

export type FaultRound = {
  readonly machines: readonly Machine[]
  readonly random: Random
  readonly counts: Counts
  /** Undefined: nodes share the machine's loopback. */
  readonly networks: Networks | undefined
}

const betweenKillsMsMax = 600
const downMsMax = 1_500
const briefMsMax = 200
/** How often the next kill waits until every node serves again. */
const isAwaitedChance = 0.3
/** Else it waits until the cluster has acknowledged so many writes, with as many nodes as it has by then. */
const writesBetweenMax = 40
const lookMs = 10
const cutMsMax = 7_000
const pauseMsMax = 3_000

/** Kills and restarts; answers how many were killed. Every process runs when it settles, ready or not. */
export async function killRound({ machines, random, counts }: FaultRound): Promise<number> {
  const victims = drawVictims(machines, random)
  count(counts, `rounds that kill ${victims.length} of ${machines.length}`)
  let kills = 0
  for (const victim of victims) {
    await victim.kill()
    kills++
    if (random.chance(0.5)) await sleep(random.integer(betweenKillsMsMax))
  }
  await sleep(random.integer(random.chance(0.3) ? downMsMax : briefMsMax))
  for (const victim of victims) victim.start()
  if (random.chance(0.15)) {
    // Again, in the middle of its start and recovery.
    const victim = victims[random.integer(victims.length)]
    await sleep(random.integer(1_500))
    if (victim !== undefined) {
      await victim.kill()
      kills++
      count(counts, 'kills of a node that starts')
      victim.start()
    }
  }
  const areReady = Promise.all(machines.map((machine) => machine.ready()))
  if (random.chance(isAwaitedChance)) await areReady
  else {
    count(counts, 'rounds that wait for writes only')
    await Promise.race([areReady, untilAcknowledged(counts, 1 + random.integer(writesBetweenMax))])
  }
  return kills
}

/** Settles when so many more writes were acknowledged: whoever is killed next is killed under load. */
async function untilAcknowledged(counts: Counts, more: number): Promise<void> {
  const acknowledged = (): number => counts.get('writes acknowledged') ?? 0
  const goal = acknowledged() + more
  const endMs = Date.now() + readyMsMax
  while (acknowledged() < goal && Date.now() < endMs) await sleep(lookMs)
}

function drawVictims(machines: readonly Machine[], random: Random): readonly Machine[] {
  const draw = random.integer(100)
  const wanted = draw < 65 ? 1 : draw < 85 ? 2 : machines.length
  const left = [...machines]
  const victims: Machine[] = []
  while (victims.length < wanted && left.length > 0) {
    victims.push(...left.splice(random.integer(left.length), 1))
  }
  return victims
}

/** One fault of any kind, healed when it settles; answers how many nodes were killed. */
export async function anyRound(round: FaultRound): Promise<number> {
  const { machines, networks, random, counts } = round
  const draw = random.integer(networks === undefined ? 40 : 100)
  if (draw < 25) return killRound(round)
  const at = random.integer(machines.length)
  if (draw < 40) {
    count(counts, 'pauses')
    machines[at]?.pause()
    await sleep(random.integer(pauseMsMax))
    machines[at]?.resume()
    return 0
  }
  if (networks === undefined) return 0
  if (draw < 60) networks.cutNode(at, 'both')
  else if (draw < 78) networks.cutNode(at, random.chance(0.5) ? 'out' : 'in')
  else if (draw < 89 || !networks.canDelay) {
    const other = (at + 1 + random.integer(machines.length - 1)) % machines.length
    networks.cutOneWay(at, other)
  } else networks.delay(at, 20 + random.integer(300))
  count(counts, `networks: ${networks.lastFault}`)
  await sleep(200 + random.integer(cutMsMax))
  let kills = 0
  // A node that is cut off dies and comes back while it still is.
  const victim = machines[random.integer(machines.length)]
  if (random.chance(0.25) && victim !== undefined) {
    await victim.kill()
    victim.start()
    kills++
    await sleep(random.integer(cutMsMax))
  }
  networks.heal()
  await Promise.all(machines.map((machine) => machine.ready()))
  return kills
}
