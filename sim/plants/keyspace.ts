// Plants in the replicated keyspace: revisions, snapshots, requests that are applied once.

import type { Plant } from './plant.ts'

export const keyspacePlants: readonly Plant[] = []
