// Plants in the rules of Raft: votes, commitment, members, reads.

import type { Plant } from './plant.ts'

export const raftPlants: readonly Plant[] = []
