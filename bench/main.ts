// npm run bench -- NAME: every benchmark prints ratios taken in one run; absolute figures are this machine's.

import { argv, exit } from 'node:process'

const benches: Record<string, () => Promise<{ run(args: readonly string[]): Promise<void> }>> = {
  log: () => import('./log.ts'),
  erasure: () => import('./erasure.ts'),
  s3: () => import('./s3.ts'),
  etcd: () => import('./etcd.ts'),
  failover: () => import('./failover.ts'),
  keys: () => import('./keys.ts'),
  tick: () => import('./tick.ts'),
  idle: () => import('./idle.ts'),
  'idle-groups': () => import('./idle-user-namespaces.ts'),
  'idle-rafts': () => import('./idle-groups.ts'),
  'idle-namespaces': () => import('./idle-namespaces.ts'),
  placement: () => import('./placement.ts'),
  transport: () => import('./transport.ts'),
  beside: () => import('./beside.ts'),
  access: () => import('./access.ts'),
}

const [name = '', ...args] = argv.slice(2)
const load = benches[name]
if (load === undefined) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join('|')} [--help]`)
  exit(64)
}
await (await load()).run(args)
