// Plants in leases, watches, sessions and the recipes on them.

import type { Plant } from './plant.ts'

export const recipePlants: readonly Plant[] = []
