// Makes the console's pages: console/*.tsx and its styles into console/dist, by esbuild. `npm run console` does it by hand;
// every start does it when a source is newer than the bundle (node24.mjs). Uses nothing but Node's own modules.
//
// The bundle is put together beside its place and then takes it by a rename, so that a node that starts meanwhile reads
// a whole one. Scripts and styles are named by the hash of their content; `stamp` says which sources they were made of.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const place = join(root, 'console')
const dist = join(place, 'dist')
const stampFile = join(dist, 'stamp')

/** True if nothing had to be done or it was done; what failed is told on standard error. */
export function buildConsoleIfStale() {
  if (!existsSync(join(place, 'main.tsx'))) return true
  const stamp = stampOf()
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return true
  return buildConsole(stamp)
}

/** Names, sizes and times: a dozen files. */
function stampOf() {
  const files = sourcesIn(place).map((path) => {
    const { size, mtimeMs } = statSync(path)
    return `${path.slice(root.length)} ${size} ${mtimeMs}`
  })
  return createHash('sha256').update([...files, esbuildVersion()].join('\n')).digest('hex')
}

function sourcesIn(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => name !== 'dist' && name !== 'DESIGN.md')
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      return entry.isDirectory() ? sourcesIn(path) : [path]
    })
    .sort()
}

function esbuildVersion() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies[
    `@esbuild/${process.platform}-${process.arch}`
  ]
}

function buildConsole(stamp) {
  const esbuild = join(root, 'node_modules', '@esbuild', `${process.platform}-${process.arch}`, 'bin', 'esbuild')
  if (!existsSync(esbuild) || !existsSync(join(root, 'node_modules', 'react-dom'))) {
    console.error('atoll: the console has no pages here: esbuild and react are not installed (npm ci installs them)')
    return false
  }
  const startedMs = Date.now()
  const next = `${dist}.${process.pid}`
  rmSync(next, { recursive: true, force: true })
  mkdirSync(next, { recursive: true })
  const args = [
    join(place, 'main.tsx'),
    '--bundle',
    '--minify',
    '--format=esm',
    '--target=es2022',
    '--jsx=automatic',
    '--define:process.env.NODE_ENV="production"',
    '--entry-names=[name]-[hash]',
    '--legal-comments=eof',
    '--log-level=warning',
    `--outdir=${next}`,
  ]
  const { status } = spawnSync(esbuild, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    rmSync(next, { recursive: true, force: true })
    console.error('atoll: the pages of the console could not be made; the messages above say why')
    return false
  }
  finish(next, stamp)
  console.error(`atoll: made the pages of the console in ${Date.now() - startedMs} ms`)
  return true
}

function finish(next, stamp) {
  const names = readdirSync(next)
  const script = names.find((name) => name.endsWith('.js'))
  const style = names.find((name) => name.endsWith('.css'))
  const page = readFileSync(join(place, 'index.html'), 'utf8').replace('main.js', script).replace('main.css', style)
  writeFileSync(join(next, 'index.html'), page)
  for (const name of [...names, 'index.html']) {
    writeFileSync(join(next, `${name}.gz`), gzipSync(readFileSync(join(next, name)), { level: 9 }))
  }
  writeFileSync(join(next, 'stamp'), stamp)
  rmSync(dist, { recursive: true, force: true })
  try {
    renameSync(next, dist)
  } catch (error) {
    // Somebody else was as fast: theirs is made of the same sources.
    rmSync(next, { recursive: true, force: true })
    if (!existsSync(stampFile)) throw error
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = buildConsole(stampOf()) ? 0 : 1
