// What this node tells of itself once it has started: where its servers for people are, its program, its disk. The
// record is changed only if it says otherwise; while the cluster cannot be asked the node serves and tries again.

import { isFault } from '../base/index.ts'
import { type Member, programVersion, updateMember } from '../cluster/index.ts'
import type { Address, Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { NodeConfig } from './config.ts'

const retryEveryMs = 2_000
/** Shards follow capacity: what file systems that grow and shrink with their contents say moves none. */
const capacityStep = 0.1

/** Answers what ends it. */
export function announceMember(
  config: NodeConfig,
  host: Host,
  system: Keyspace,
): () => Promise<void> {
  const ended = new AbortController()
  const run = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      try {
        const { totalBytes } = await host.disk.space()
        const describe = (member: Member) => describeSelf(member, config, totalBytes)
        await updateMember(system, config.self, describe)
        return
      } catch (error) {
        if (!isFault(error)) throw error
        host.journal.event('debug', 'node.announcement_waits', { reason: error.message })
        await host.clock.sleep(retryEveryMs, ended.signal)
      }
    }
  }
  run().catch((error: unknown) => {
    if (!isFault(error)) host.journal.fatal('node.announcement_failed', error)
  })
  // A request under way ends with the keyspace that it waits for.
  return async () => ended.abort()
}

function describeSelf(
  member: Member,
  { listen }: NodeConfig,
  capacityBytes: number,
): Member | undefined {
  const admin = listen.admin ?? member.admin
  const s3 = listen.s3 ?? member.s3
  const isCapacity =
    Math.abs(capacityBytes - member.capacityBytes) <= member.capacityBytes * capacityStep
  const isSame =
    sameAddress(admin, member.admin) &&
    sameAddress(s3, member.s3) &&
    member.version === programVersion &&
    isCapacity
  if (isSame) return undefined
  const described = isCapacity ? {} : { capacityBytes }
  return { ...member, admin, s3, version: programVersion, ...described }
}

function sameAddress(a: Address, b: Address): boolean {
  return a.host === b.host && a.port === b.port
}
