// The console's pages as the bundle lies in console/dist: read once when a node starts, because what serves them
// touches no files. Without a bundle there are none, and the node says so to whoever asks for the console.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ConsoleAsset } from '../node/index.ts'

const dist = fileURLToPath(new URL('../../console/dist', import.meta.url))

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export function readConsolePages(from = dist): readonly ConsoleAsset[] {
  if (!existsSync(join(from, 'index.html'))) return []
  return readdirSync(from).flatMap((name) => {
    const contentType = contentTypes[extname(name)]
    if (contentType === undefined) return []
    const path = join(from, name)
    return [{ name, contentType, bytes: readFileSync(path), gzip: readFileSync(`${path}.gz`) }]
  })
}
