// Three processes of `atoll/raft` with one namespace, and a client of it in this process that hosts nothing.

import { fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isFault } from '../src/base/index.ts'
import { openMesh } from '../src/library/raft.ts'
import type { NamespacesNode } from './idle-namespaces.ts'
import { scratchDirectory } from './ours.ts'

const nodeProgram = fileURLToPath(new URL('./idle-namespaces-node.ts', import.meta.url))
const basePort = 17_760
const namespace = '/raft/idle/0'

export type Native = {
  readonly pids: readonly number[]
  /** False when it failed. */
  set(key: string, value: Uint8Array): Promise<boolean>
  stop(): Promise<void>
}

export async function startNative(): Promise<Native> {
  const path = scratchDirectory('native')
  const addresses = [1, 2, 3].map((i) => `127.0.0.${i}:${basePort + i}`)
  const nodes = addresses.map((listen, i) => {
    const contacts = addresses.filter((other) => other !== listen)
    const node: NamespacesNode = { directory: join(path, String(i)), listen, contacts, count: 1 }
    const child = fork(nodeProgram, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    child.send(node)
    return child
  })
  await Promise.all(nodes.map((node) => new Promise((resolve) => node.once('message', resolve))))
  const mesh = await openMesh({
    directory: join(path, 'client'),
    listen: `127.0.0.1:${basePort}`,
    contacts: addresses,
    key: 'the key of a measurement, of more than 32 bytes',
  })
  const client = mesh.client(namespace, { timeoutMs: 30_000 })
  return {
    pids: nodes.map(({ pid }) => pid ?? 0),
    set: async (key, value) => {
      try {
        await client.set(key, value)
        return true
      } catch (error) {
        if (!isFault(error)) throw error
        return false
      }
    },
    stop: async () => {
      client.close()
      await mesh.close()
      await Promise.all(
        nodes.map((node) => {
          const ended = new Promise((resolve) => node.once('exit', resolve))
          node.kill('SIGKILL')
          return ended
        }),
      )
      rmSync(path, { recursive: true, force: true })
    },
  }
}
