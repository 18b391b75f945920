// The data thread as the core knows it. Its code (gateways, content, objects) is loaded where it runs:
// in the thread, so that the core neither loads nor keeps it, or here when there is no thread.

import type { ThreadProgram } from '../host/index.ts'

export const dataProgram: ThreadProgram = {
  name: 'data',
  moduleUrl: new URL('./data-thread.ts', import.meta.url).href,
  exportName: 'runDataThread',
  semiSpaceMebibytes: 8,
  async run(host, port, input) {
    const { runDataThread } = await import('./data-thread.ts')
    await runDataThread(host, port, input)
  },
}
