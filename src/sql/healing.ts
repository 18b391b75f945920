// A replica that differs from most others, or lost its file, made whole: it fetches a copy of the leader's file over a stream
// and puts it in the place of its own; the tail of the log goes on behind it. While it waits for that it serves nothing, and
// when it leads itself, it gives leadership away first.
//
//   request   protobuf {group}; the stream brings the chunks of the leader's snapshot (incoming.ts)

import { encodeBytes, Fault, message, type NodeId, toFault, uint } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { controlMethod, type Rpc, type RpcStream } from '../rpc/index.ts'
import type { SqlMachine } from './machine.ts'

export type HealingEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly name: string
  readonly group: Group
  readonly machine: SqlMachine
}

const retryMsMin = 200
const retryMsMax = 5000
const copyMsMax = 15 * 60_000

export const copyFields = message({ group: uint(1) })

export class Healing {
  readonly #ends: HealingEnds
  #isRunning = false
  #isClosed = false

  constructor(ends: HealingEnds) {
    this.#ends = ends
    ends.machine.onDiffering = () => this.begin()
    if (ends.machine.differsAt > 0) this.begin()
  }

  /** Goes on until this replica is whole. */
  begin(): void {
    if (this.#isRunning || this.#isClosed) return
    this.#isRunning = true
    const { host, name, machine } = this.#ends
    host.journal.event('error', 'sql.replica_stopped', { name, index: machine.differsAt })
    this.#heal().then(
      () => {
        this.#isRunning = false
        if (machine.differsAt > 0) return this.begin()
        if (!this.#isClosed) host.journal.event('notice', 'sql.replica_healed', { name })
      },
      (error: unknown) => host.journal.fatal('sql.healing_failed', error),
    )
  }

  /** Gives who asks a copy of this file. Faults 'not-leader', and those of the copy. */
  async give(stream: RpcStream): Promise<void> {
    const { group, machine } = this.#ends
    if (group.status().role !== 'leader') throw new Fault('not-leader', 'the leader gives copies')
    // What the asker has applied is in the copy, whatever this node had applied before.
    await group.readBarrier()
    const source = machine.snapshot()
    try {
      for await (const chunk of source.chunks) await stream.send(chunk)
      await stream.end()
    } finally {
      source.close()
    }
  }

  close(): void {
    this.#isClosed = true
  }

  async #heal(): Promise<void> {
    const { host, machine, name } = this.#ends
    for (let retryMs = retryMsMin; ; retryMs = Math.min(retryMsMax, retryMs * 2)) {
      if (this.#isClosed || machine.differsAt === 0) return
      try {
        await this.#once()
      } catch (error) {
        const what = toFault(error).message
        host.journal.event('notice', 'sql.healing_waits', { name, what, retryMs })
      }
      if (machine.differsAt === 0) return
      await host.clock.sleep(retryMs)
    }
  }

  async #once(): Promise<void> {
    const { rpc, self, group, machine } = this.#ends
    const { leader, voters } = group.status()
    if (leader === undefined) throw new Fault('unavailable', 'nobody leads now')
    if (leader === self) {
      const heir = voters.find((id) => id !== self && rpc.isReachable(id))
      if (heir === undefined) throw new Fault('unavailable', 'no other voter can be reached')
      return await group.transferLeadership(heir)
    }
    const request = encodeBytes(copyFields, { group: group.group })
    const options = { deadlineMs: copyMsMax, bulkTowards: 'me' } as const
    const stream = await rpc.openStream(leader, controlMethod.sqlCopy, request, options)
    try {
      await machine.replaceBy(stream.messages)
    } catch (error) {
      stream.fail(toFault(error))
      throw error
    }
  }
}
