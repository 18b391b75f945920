// Names on the disk: relative, with '/', inside the root. Nothing else reaches the system.

import { Fault } from '../../base/index.ts'

/** The system's name of a path under the root; '' is the root. Fault 'invalid' for one that escapes. */
export function pathUnder(rootPath: string, path: string): string {
  if (path === '') return rootPath
  if (path.startsWith('/') || path.includes('\0')) throw refused(path)
  for (const part of path.split('/')) if (part === '..') throw refused(path)
  return `${rootPath}/${path}`
}

/** The directory of a path as the system names it. */
export function parentOf(systemPath: string): string {
  return systemPath.slice(0, systemPath.lastIndexOf('/')) || '/'
}

function refused(path: string): Fault {
  return new Fault('invalid', `not a path below the root: ${JSON.stringify(path)}`)
}
