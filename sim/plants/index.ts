// The registry of plants: bugs that the simulator must catch, each within a stated number of seeds.
//
//   npm run sim -- --plant list             what there is
//   npm run sim -- --plant NAME [--seeds N] seeds 1, 2, ... with the bug in place, until one fails
//   npm run sim -- --plants                 every plant, each in a process of its own; fails when one is not caught
//
// A new plant goes into the file of the room that it breaks. Plants of the founding protocol are others: they wrap the
// core of an explorer (sim/founding/plants.ts) and are run with the rest.

import { corePlants } from './core.ts'
import { keyspacePlants } from './keyspace.ts'
import { lifePlants } from './life.ts'
import { accessPlants } from './access.ts'
import { meshPlants } from './mesh.ts'
import type { Plant } from './plant.ts'
import { raftPlants } from './raft.ts'
import { recipePlants } from './recipes.ts'
import { storagePlants } from './storage.ts'

export type { Edit, Plant } from './plant.ts'

export const plants: readonly Plant[] = [
  ...storagePlants,
  ...corePlants,
  ...raftPlants,
  ...keyspacePlants,
  ...lifePlants,
  ...meshPlants,
  ...accessPlants,
  ...recipePlants,
]
