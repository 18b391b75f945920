// Whose a data directory is. The service of a package runs as a user of its own; a person runs `sudo atoll admin init`
// on the same directory, and what that writes must be the service's to read.

import { statSync } from 'node:fs'
import { tell } from './terminal.ts'

/** From now on root acts as the user whom an existing directory belongs to. Anybody else stays who they are. */
export function becomeOwner(dataDir: string): void {
  if (process.getuid?.() !== 0) return
  const owner = statSync(dataDir, { throwIfNoEntry: false })
  if (owner === undefined || owner.uid === 0) return
  process.setgroups?.([owner.gid])
  process.setgid?.(owner.gid)
  process.setuid?.(owner.uid)
  tell(`atoll: as user ${owner.uid}, whose ${dataDir} is`)
}
