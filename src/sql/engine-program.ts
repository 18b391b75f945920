// The engine's program as a node starts it. The engine's own modules, and SQLite's, are loaded where it runs only.

import type { ProcessProgram } from '../host/index.ts'

export const engineProgram: ProcessProgram = {
  name: 'atoll-sql',
  moduleUrl: new URL('./engine/program.ts', import.meta.url).href,
  exportName: 'runEngine',
  run: async (port, input, clock) => {
    const { runEngine } = await import('./engine/program.ts')
    await runEngine(port, input, clock)
  },
}
