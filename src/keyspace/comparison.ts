// Live comparison of replicas (law 7): the leader has an entry 'mark' committed, every replica keeps its
// digest at that index, the leader collects them and tells the majority's in an entry 'verdict'. A
// replica that had another digest serves nothing from then on; without a majority, writing stops.
//
// The mark is an entry because digests can only be compared at the same index; the digests are asked
// for, and not carried in a second entry, because the leader itself may be the one that is wrong.

import { equalBytes, isFault, type NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { encodeCall } from './core/calls.ts'
import { decodeMark, type DigestMark, encodeMark } from './core/entry.ts'
import { judge } from './core/judge.ts'
import type { Replica } from './replica.ts'

const askMsMax = 2000

export class Comparison {
  readonly #host: Host
  readonly #rpc: Rpc
  readonly #self: NodeId
  readonly #name: string
  readonly #replica: Replica
  #entriesCompared = 0
  #isRunning = false
  #isDivergenceTold = false

  constructor(dependencies: {
    readonly host: Host
    readonly rpc: Rpc
    readonly self: NodeId
    readonly name: string
    readonly replica: Replica
  }) {
    this.#host = dependencies.host
    this.#rpc = dependencies.rpc
    this.#self = dependencies.self
    this.#name = dependencies.name
    this.#replica = dependencies.replica
  }

  /**
   * Where this node leads and something was applied since the last time: compares. Everywhere: tells a
   * divergence that was found, once. Never rejects for what passes by itself.
   */
  async run(): Promise<void> {
    this.#maybeTell()
    const { entries } = this.#replica.machine.state.record
    if (this.#isRunning || !this.#replica.lessor.isLeading) return
    if (entries === this.#entriesCompared && !this.#replica.isDiverged) return
    this.#isRunning = true
    try {
      if (this.#replica.isDiverged) await this.#yield()
      else await this.#compare()
      this.#entriesCompared = this.#replica.machine.state.record.entries
    } catch (error) {
      if (!isFault(error)) throw error
    } finally {
      this.#isRunning = false
    }
    this.#maybeTell()
  }

  async #compare(): Promise<void> {
    const mark = await this.#replica.mark()
    const { voters, learners } = this.#replica.group.status()
    const digests = new Map<NodeId, Uint8Array>([[this.#self, mark.digest]])
    const others = [...voters, ...learners].filter((node) => node !== this.#self)
    await Promise.all(
      others.map(async (node) => {
        const digest = await this.#ask(node, mark)
        if (digest !== undefined) digests.set(node, digest)
      }),
    )
    const judgement = judge(digests, voters)
    const isAlarmed = this.#replica.machine.state.hasAlarm('corrupt')
    if (judgement.kind === 'split') {
      this.#tell('keyspace.replicas_split', { index: mark.index, replicas: digests.size })
      if (!isAlarmed) await this.#replica.setAlarm('corrupt', true)
    } else if (judgement.kind !== 'unknown' && isAlarmed) {
      await this.#replica.setAlarm('corrupt', false)
    }
    if (judgement.kind !== 'verdict') return
    const { digest, wrong } = judgement
    this.#tell('keyspace.replicas_differ', { index: mark.index, wrong: wrong.join(',') })
    await this.#replica.giveVerdict({ index: mark.index, digest })
    if (!equalBytes(digest, mark.digest)) await this.#yield()
  }

  /** A leader that is wrong hands over to the next voter in order. */
  async #yield(): Promise<void> {
    const { voters } = this.#replica.group.status()
    const others = voters.filter((node) => node !== this.#self).sort((a, b) => a - b)
    for (const node of others) {
      if (!this.#rpc.isReachable(node)) continue
      await this.#replica.yieldLead(node)
      return
    }
  }

  /** Undefined for whoever does not know, does not answer or cannot be reached. */
  async #ask(node: NodeId, mark: DigestMark): Promise<Uint8Array | undefined> {
    const body = encodeMark({ index: mark.index, digest: mark.digest.subarray(0, 0) })
    const { group } = this.#replica.group
    const call = encodeCall({ group, kind: 'mark', isSerializable: false, body })
    try {
      const answer = await this.#rpc.call(node, controlMethod.keyspaceRequest, call, {
        deadlineMs: askMsMax,
      })
      return decodeMark(answer).digest
    } catch (error) {
      if (!isFault(error)) throw error
      return undefined
    }
  }

  #maybeTell(): void {
    const index = this.#replica.machine.state.divergedAt
    if (index > 0 && !this.#isDivergenceTold) this.#tell('keyspace.replica_diverged', { index })
    this.#isDivergenceTold = index > 0
  }

  #tell(event: string, fields: Readonly<Record<string, string | number>>): void {
    this.#host.journal.event('error', event, { namespace: this.#name, ...fields })
  }
}
