// A node whose member drains says in the replicated state when it is empty (cluster/leaving.ts), under the very
// revision of its record that it drains by: whoever removes it relies on nothing else.
//
// It looks only while it drains. The revision is read before the look: a drain that was cancelled and begun again
// in between has another one, and the word fails.

import { isFault, type NodeId, type Revision } from '../base/index.ts'
import { type Cluster, declareDrained, readDrain } from '../cluster/index.ts'
import type { Content } from '../content/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'

const lookEveryMs = 1_000

/** Answers a function that ends it. */
export function followDrain(deps: {
  readonly host: Host
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly content: Content
  readonly self: NodeId
}): () => void {
  const { host, cluster, system, content, self } = deps
  let timer: Timer | undefined
  let isClosed = false
  let declared: Revision | undefined
  const isLeaving = (): boolean =>
    cluster.view.members().find(({ id }) => id === self)?.state === 'draining'
  const look = async (): Promise<void> => {
    const drain = await readDrain(system, self)
    const isEmpty = await content.runEmptying()
    if (drain === undefined || !isEmpty || drain.seen === declared) return
    const atMs = Math.floor(host.clock.wallMs())
    if (!(await declareDrained(system, drain, { atMs }))) return
    declared = drain.seen
    host.journal.event('notice', 'node.drained', {})
  }
  /** Once more after it has ended: content takes shards again. */
  let wasLeaving = false
  const lookSoon = (): void => {
    if (isClosed || timer !== undefined || !(isLeaving() || wasLeaving)) return
    timer = host.clock.after(lookEveryMs, () => {
      wasLeaving = isLeaving()
      const again = (error?: unknown): void => {
        timer = undefined
        if (error !== undefined && !isFault(error)) {
          host.journal.fatal('node.drain_failed', error)
        }
        lookSoon()
      }
      look().then(() => again(), again)
    })
  }
  const unwatch = cluster.view.onChange(lookSoon)
  lookSoon()
  return () => {
    isClosed = true
    unwatch()
    timer?.cancel()
  }
}
