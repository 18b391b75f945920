// What people are told, and what to do about it. An alarm is raised once per key and life of a node.

import type { ClusterId } from '../../base/index.ts'
import type { FounderId } from './genesis.ts'

export type AlarmKind =
  | 'two-clusters'
  | 'too-many-founders'
  | 'other-size'
  | 'founder-missing'
  | 'same-identity'
  | 'forgotten'

export type Alarm = {
  readonly kind: AlarmKind
  /** Of what it is about: equal keys are one alarm. */
  readonly key: string
  readonly what: string
  /** What the reader should do. */
  readonly next: string
}

export const alarms = {
  twoClusters(own: ClusterId, other: ClusterId, address: string): Alarm {
    return {
      kind: 'two-clusters',
      key: `two-clusters ${other}`,
      what: `${address} belongs to cluster ${other} of this namespace; this node belongs to ${own}. Both go on for their own members and refuse each other`,
      next: 'choose the one to keep, export what is needed from the other, delete the data directories of its nodes and start them again: they join. Logs are never merged',
    }
  },
  tooMany(size: number, eligible: number): Alarm {
    return {
      kind: 'too-many-founders',
      key: `too-many-founders ${eligible >= 2 * size}`,
      what: `${eligible} nodes may found this namespace, with ${size} founders each: two clusters could form`,
      next: `expect at least ${Math.floor(eligible / 2) + 1} founders on every node, or list the founders, or let the others join only`,
    }
  },
  otherSize(id: FounderId, sizes: { readonly theirs: number; readonly ours: number }): Alarm {
    return {
      kind: 'other-size',
      key: `other-size ${id}`,
      what: `node ${id} expects ${sizes.theirs} founders, this one ${sizes.ours}: they never found together`,
      next: 'give every node of the namespace the same number',
    }
  },
  founderMissing(id: FounderId, address: string | undefined): Alarm {
    return {
      kind: 'founder-missing',
      key: `founder-missing ${id}`,
      what: `founding waits for ${id}${address === undefined ? '' : ` at ${address}`}: it was asked and may have agreed to a cluster`,
      next: 'bring it back; if its disk is lost, delete the data directories of the other founders that have no cluster yet (they hold nothing) and start them again',
    }
  },
  sameIdentity(id: FounderId, address: string): Alarm {
    return {
      kind: 'same-identity',
      key: 'same-identity',
      what: `${address} uses the identity ${id} of this node: its data directory is a copy`,
      next: 'stop one of the two and delete its data directory: it joins under a new identity',
    }
  },
  forgotten(cluster: ClusterId): Alarm {
    return {
      kind: 'forgotten',
      key: 'forgotten',
      what: `this node is a founder of cluster ${cluster} and does not remember it: its disk lost synced writes or was restored from a copy`,
      next: 'delete its data directory: it joins under a new identity, as a learner first',
    }
  },
} as const
