// What the launcher runs for each node: `atoll node` without the table of all commands, which a node would
// load, and keep, for nothing (50 ms and 10 MiB).

import { parseArgs } from 'node:util'
import { finish } from './finish.ts'
import { runNode } from './node-command.ts'
import { readNode } from './node-flags.ts'

const text = { type: 'string' } as const
const options = {
  'data-dir': text,
  bind: text,
  'data-threads': text,
  'etcd-port': text,
  'etcd-tls': { type: 'boolean' },
  'etcd-client-ca': text,
  'etcd-watch-progress': text,
  'sql-port': text,
  'sql-tls': { type: 'boolean' },
  'encryption-key-file': text,
  'snapshot-dir': text,
  'read-lease': text,
  log: text,
  level: text,
} as const

const camel = (name: string): string =>
  name.replaceAll(/-(.)/g, (_, letter) => letter.toUpperCase())

await finish(async () => {
  // The first word is the command's name: people find nodes by it in a list of processes.
  const { values } = parseArgs({ options, allowPositionals: true })
  const flags = Object.entries(values).map(([name, value]) => [camel(name), value])
  return await runNode(readNode(Object.fromEntries(flags)))
})
