// Where things lie in a data directory. The launcher's own files are at its top, each node has a
// directory of its own that could as well be on another machine.
//
//   DIR/cluster.toml            the topology, the same bytes as on every node
//   DIR/formation.json          which slots there are and who holds them
//   DIR/launcher.lock           held while a launcher changes the files above
//   DIR/ca/                     the authority's certificate and key, the admin token, the first operator's password
//   DIR/node-N/                 slot N: cluster.toml, node.toml, identity/, lock, node.log, distributed/

import { join } from 'node:path'

/** Of a cluster on one machine, below where the command runs. */
export const defaultDataDir = '.atoll'

export const clusterFileNames = ['cluster.toml', 'predastore.toml'] as const

export const launcherPaths = (dataDir: string) => ({
  cluster: join(dataDir, 'cluster.toml'),
  formation: join(dataDir, 'formation.json'),
  lock: join(dataDir, 'launcher.lock'),
  authorityCertificate: join(dataDir, 'ca', 'authority.pem'),
  authorityKey: join(dataDir, 'ca', 'authority-key.pem'),
  adminToken: join(dataDir, 'ca', 'admin-token'),
  sealKey: join(dataDir, 'ca', 'seal-key'),
  operatorPassword: join(dataDir, 'ca', 'operator-password'),
  node: (slot: number) => join(dataDir, `node-${slot}`),
})

export const nodePaths = (nodeDir: string) => ({
  cluster: join(nodeDir, 'cluster.toml'),
  node: join(nodeDir, 'node.toml'),
  lock: join(nodeDir, 'lock'),
  journal: join(nodeDir, 'node.log'),
  clusterId: join(nodeDir, 'identity', 'cluster-id'),
  authorityCertificate: join(nodeDir, 'identity', 'authority.pem'),
  certificate: join(nodeDir, 'identity', 'node.pem'),
  privateKey: join(nodeDir, 'identity', 'node-key.pem'),
  serverCertificate: join(nodeDir, 'identity', 'server.pem'),
  serverKey: join(nodeDir, 'identity', 'server-key.pem'),
  adminToken: join(nodeDir, 'identity', 'admin-token'),
  operatorPassword: join(nodeDir, 'identity', 'operator-password'),
  bundle: join(nodeDir, 'cluster.json'),
})
