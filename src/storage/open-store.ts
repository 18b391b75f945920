// Which engine a store gets.

import type { Host } from '../host/index.ts'
import { openMemoryStore } from './memory-store.ts'
import { openSqliteStore } from './sqlite-store.ts'
import type { Store, StoreOptions } from './store.ts'

/** SQLite where the host has a real file system, else the journaled memory store. */
export function openStore(host: Host, options: StoreOptions): Promise<Store> {
  return host.disk.rootPath === '' ? openMemoryStore(host, options) : openSqliteStore(host, options)
}
