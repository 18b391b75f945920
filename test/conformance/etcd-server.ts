// Debian's etcd-server for tests: one process on loopback with a directory of its own, and whether it is there.
// Where the environment says that peers are required (ATOLL_REQUIRE_PEERS=1, as .ci/run does), a missing one fails.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** False: it is there. Otherwise why tests are skipped; throws where a skip is a failure. */
export function missing(program: string, from: string): string | false {
  if (spawnSync('which', [program]).status === 0) return false
  const why = `${program} is missing (apt-get install ${from})`
  if (process.env.ATOLL_REQUIRE_PEERS === '1')
    throw new Error(`${why}, and peers are required here`)
  return why
}

export type EtcdServer = {
  readonly port: number
  stop(): Promise<void>
}

/** Settles when it serves. */
export async function startEtcd(
  port: number,
  options: { readonly args?: readonly string[]; readonly scheme?: 'http' | 'https' } = {},
): Promise<EtcdServer> {
  const { args = [], scheme = 'http' } = options
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-etcd-'))
  const peer = `http://127.0.0.1:${port + 1}`
  const client = `${scheme}://127.0.0.1:${port}`
  const child = spawn(
    'etcd',
    [
      ...['--data-dir', dataDir, '--name', 'n1', '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `n1=${peer}`, ...args],
    ],
    { stdio: 'ignore' },
  )
  await reachable(child, port)
  return {
    port,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      if (child.exitCode === null) {
        child.kill('SIGKILL')
        await ended
      }
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

async function reachable(child: ChildProcess, port: number): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`etcd ended with status ${child.exitCode}`)
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`etcd does not listen on port ${port}`)
}
