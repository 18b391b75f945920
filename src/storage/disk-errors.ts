// What storage does about disks that fail (law 12).

import type { Host } from '../host/index.ts'

/**
 * Stops the node: bytes that should be durable may not be. Where the host ends a node by throwing
 * (simulator), the throw ends here: nothing above could do better.
 */
export function stopNode(host: Host, event: string, error: unknown): void {
  try {
    host.journal.fatal(event, error)
  } catch {
    return
  }
}

/** The directory of a path; '' when it has none. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
