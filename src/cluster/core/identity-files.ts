// Names of the files that are a node's identity, below its directory. Secrets among them are readable by their
// owner only.

export const identityFiles = {
  clusterId: 'identity/cluster-id',
  authorityCertificate: 'identity/authority.pem',
  certificate: 'identity/node.pem',
  privateKey: 'identity/node-key.pem',
  /** Of a certificate that is about to be written; the key of the one that is, if it fits. */
  privateKeyNext: 'identity/node-key.next.pem',
  serverCertificate: 'identity/server.pem',
  serverKey: 'identity/server-key.pem',
  serverKeyNext: 'identity/server-key.next.pem',
  /** Of a founder, until it is sealed in the namespace. */
  authorityKey: 'identity/authority-key.pem',
  sealKey: 'identity/seal-key',
  bundle: 'cluster.json',
} as const
