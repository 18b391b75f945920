// The pure core of Raft by itself (sim/core): thousands of seeds per minute.

import { corePromises, CoreWorld } from '../core/core-world.ts'
import type { World } from '../world.ts'

export { corePromises }

export async function runCoreWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  new CoreWorld(world, options).run()
}
