// The table of rooms as data: what each may import, and the few places where an ambient thing of Node is
// allowed. docs/architecture.md shows the same table; a check holds the two together.

export type Room = {
  readonly name: string
  /** Rooms whose door it may import; 'all' for the composition root and the simulator. */
  readonly mayImport: readonly string[] | 'all'
}

export const rooms: readonly Room[] = [
  { name: 'base', mayImport: [] },
  { name: 'host', mayImport: ['base'] },
  { name: 'storage', mayImport: ['base', 'host'] },
  { name: 'rpc', mayImport: ['base', 'host'] },
  { name: 'founding', mayImport: ['base', 'host'] },
  { name: 'raft', mayImport: ['base', 'host', 'storage', 'rpc'] },
  { name: 'keyspace', mayImport: ['base', 'host', 'storage', 'rpc', 'raft'] },
  {
    name: 'mesh',
    mayImport: ['base', 'host', 'storage', 'rpc', 'founding', 'raft', 'keyspace'],
  },
  { name: 'access', mayImport: ['base', 'host', 'keyspace'] },
  { name: 'cluster', mayImport: ['base', 'host', 'rpc', 'keyspace'] },
  { name: 'content', mayImport: ['base', 'host', 'storage', 'rpc', 'keyspace', 'cluster'] },
  { name: 'sql', mayImport: ['base', 'host', 'storage', 'rpc', 'raft', 'keyspace', 'cluster'] },
  { name: 'objects', mayImport: ['base', 'host', 'keyspace', 'cluster', 'content'] },
  {
    name: 'volumes',
    mayImport: ['base', 'host', 'storage', 'rpc', 'keyspace', 'cluster', 'content'],
  },
  { name: 'machines', mayImport: ['base', 'host', 'keyspace', 'cluster', 'volumes'] },
  {
    name: 'gateways',
    mayImport: [
      'base',
      'host',
      'storage',
      'rpc',
      'founding',
      'raft',
      'keyspace',
      'mesh',
      'access',
      'cluster',
      'content',
      'sql',
      'objects',
      'volumes',
      'machines',
    ],
  },
  { name: 'client', mayImport: ['base', 'host'] },
  { name: 'cli', mayImport: ['base', 'host', 'access', 'cluster', 'client', 'node'] },
  { name: 'library', mayImport: ['base', 'host', 'rpc', 'mesh'] },
  { name: 'console', mayImport: [] },
  { name: 'node', mayImport: 'all' },
  { name: 'sim', mayImport: 'all' },
]

/** Doors besides a room's own index.ts. The real host is for whoever starts a process. */
export const extraDoors: readonly { readonly door: string; readonly from: readonly string[] }[] = [
  { door: 'src/host/real/index.ts', from: ['cli', 'library', 'tools', 'test', 'bench', 'sim'] },
  { door: 'src/host/real/lock.ts', from: ['cli', 'library'] },
  { door: 'src/cluster/files.ts', from: ['cli'] },
  { door: 'src/gateways/admin/index.ts', from: ['node'] },
  { door: 'src/gateways/console/index.ts', from: ['node'] },
  { door: 'src/gateways/sql/handler.ts', from: ['node'] },
  { door: 'src/gateways/sql/routes.ts', from: ['node'] },
  { door: 'src/keyspace/etcd/index.ts', from: ['node'] },
  { door: 'src/keyspace/etcd/wire.ts', from: ['gateways'] },
  { door: 'src/sql/table.ts', from: ['node'] },
  { door: 'src/sql/core/statement-texts.ts', from: ['cli'] },
]

/** Top folders and files that may touch the world directly. */
export const worldly: readonly string[] = [
  'src/host/real/',
  'src/cli/',
  'tools/',
  'test/',
  'bench/',
  'examples/',
  'adapters/',
  'sim/main.ts',
  'sim/plants/planting.ts',
  'sim/plants/run-plants.ts',
]

/** Node modules that a single file elsewhere may import (docs/decisions/0003, 0007 and 0014). */
export const allowedNodeModules: readonly { readonly file: string; readonly module: string }[] = [
  { file: 'src/base/hash.ts', module: 'node:crypto' },
  { file: 'src/base/cipher.ts', module: 'node:crypto' },
  { file: 'src/storage/sqlite-engine.ts', module: 'node:sqlite' },
  { file: 'src/sql/engine/connection.ts', module: 'node:sqlite' },
]

/** Ambient names, and what to use instead. A dotted name bans that member only. */
export const bannedAmbient: Readonly<Record<string, string>> = {
  Date: 'host.clock.wallMs()',
  'Math.random': 'host.random',
  setTimeout: 'host.clock.after()',
  clearTimeout: 'Timer.cancel()',
  setInterval: 'host.clock.every()',
  clearInterval: 'Timer.cancel()',
  setImmediate: 'host.clock.soon()',
  queueMicrotask: 'host.clock.soon()',
  fetch: 'a method of host',
  performance: 'host.clock.monotonicMs()',
  process: 'host (journal, memory) or the config',
  console: 'host.journal.event()',
  crypto: 'host.random or base/hash.ts',
  'AbortSignal.timeout': 'host.clock.after() and an AbortController',
  WeakRef: 'explicit ownership',
  FinalizationRegistry: 'explicit ownership',
  Atomics: 'host.threads',
  SharedArrayBuffer: 'host.threads',
  Worker: 'host.threads',
  Intl: 'bytes and numbers without a locale',
  localeCompare: 'compareBytes() or <',
  toLocaleString: 'a fixed format',
}

/** Words that a wire protocol or a library uses itself (S3's CommonPrefixes, libp2p's handle). */
export const wireWords: readonly { readonly place: string; readonly words: readonly string[] }[] = [
  { place: 'src/gateways/s3/', words: ['common', 'service'] },
  { place: 'src/objects/', words: ['common'] },
  { place: 'adapters/libp2p/', words: ['handle'] },
]

export const bannedWords = ['manager', 'service', 'helper', 'util', 'utils', 'common', 'misc']
/** As a whole name. */
export const bannedNames = ['data', 'info']
/** As the verb that a function's name begins with. */
export const bannedVerbs = ['handle', 'process', 'do']

export const functionLinesMax = 70
export const fileLinesMax = 600
