// Certificates for tests: an authority per cluster and one certificate per node, as the product's own
// authority makes them. Nothing outside tests imports this.

import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { type ClusterId, clusterId, nodeId } from '../../base/index.ts'
import type { NodeIdentity } from '../host.ts'

export type TestAuthority = {
  readonly clusterId: ClusterId
  readonly pem: string
  /** An identity of this cluster; `uri` overrides what the certificate says. */
  identity(node: number, options?: { readonly uri?: string }): Promise<NodeIdentity>
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const dayMs = 86_400_000

/** `name` decides the cluster id: equal names are one cluster under different keys. */
export async function createTestAuthority(name: string): Promise<TestAuthority> {
  x509.cryptoProvider.set(webcrypto)
  const cluster = clusterId(Buffer.from(name.padEnd(16, '.')).toString('hex').slice(0, 32))
  const keys = await newKeys()
  const validity = {
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + dayMs),
  }
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    ...validity,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  })
  const pem = authority.toString('pem')
  return {
    clusterId: cluster,
    pem,
    async identity(node, options = {}) {
      const own = await newKeys()
      const uri = options.uri ?? `atoll://${cluster}/node/${node}`
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=node ${node}`,
        issuer: authority.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        ...validity,
        extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }])],
      })
      const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', own.privateKey)
      return {
        nodeId: nodeId(node),
        clusterId: cluster,
        authorityPem: pem,
        certificatePem: certificate.toString('pem'),
        privateKeyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
      }
    },
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}
