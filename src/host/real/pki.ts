// X.509 by Node's own parser and verifier, and by a library for what Node cannot do: requests and issuing. The library
// is loaded on first use (pki-issue.ts), because most nodes issue nothing for days.
//
// Hostile input: texts are bounded, the PEM block is found by its exact lines, and whatever the parsers throw is
// Fault 'invalid'.

import { createHash, X509Certificate } from 'node:crypto'
import { Fault } from '../../base/index.ts'
import type { Certificate, Pki } from '../host.ts'

const pemCharsMax = 64 * 1024
const certificatesMax = 16

export const realPki: Pki = {
  async makeAuthority(subject) {
    return await (await issuing()).makeAuthority(subject)
  },
  async makeRequest(subjectName) {
    return await (await issuing()).makeRequest(subjectName)
  },
  async readRequest(requestPem) {
    return await (await issuing()).readRequest(requestPem)
  },
  async sign(privateKeyPem, bytes) {
    return await (await issuing()).sign(privateKeyPem, bytes)
  },
  async isSignedBy(requestPem, signed) {
    return await (await issuing()).isSignedBy(requestPem, signed)
  },
  async issue(authority, leaf) {
    return await (await issuing()).issue(authority, leaf)
  },
  async readCertificate(certificatePem) {
    return describe(firstCertificate(certificatePem))
  },
  async verify(certificatePem, { authorityPem, atMs }) {
    const leaf = firstCertificate(certificatePem)
    const issuers = splitCertificates(authorityPem).map(parseCertificate)
    const isSigner = (issuer: X509Certificate): boolean =>
      issuer.ca && leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey)
    const issuer = issuers.find(isSigner)
    if (issuer === undefined) {
      throw new Fault('unauthenticated', 'the certificate is of another authority')
    }
    const described = describe(leaf)
    for (const { notBeforeMs, notAfterMs } of [described, describe(issuer)]) {
      if (atMs < notBeforeMs) {
        throw new Fault('unauthenticated', 'the certificate is not valid yet', {
          next: "compare this machine's clock with the cluster's",
        })
      }
      if (atMs >= notAfterMs) {
        throw new Fault('unauthenticated', 'the certificate has expired')
      }
    }
    return described
  },
}

function issuing(): Promise<typeof import('./pki-issue.ts')> {
  return import('./pki-issue.ts')
}

function firstCertificate(pem: string): X509Certificate {
  const first = splitCertificates(pem)[0]
  if (first === undefined) throw new Fault('invalid', 'this is no certificate in PEM')
  return parseCertificate(first)
}

function splitCertificates(pem: string): readonly string[] {
  if (pem.length > pemCharsMax) throw new Fault('invalid', 'certificates beyond 64 KiB')
  const begin = '-----BEGIN CERTIFICATE-----'
  const end = '-----END CERTIFICATE-----'
  const found: string[] = []
  for (let at = pem.indexOf(begin); at >= 0; at = pem.indexOf(begin, at)) {
    const stop = pem.indexOf(end, at)
    if (stop < 0 || found.length === certificatesMax) break
    found.push(`${pem.slice(at, stop + end.length)}\n`)
    at = stop
  }
  return found
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new Fault('invalid', 'this is no certificate in PEM', { cause: error })
  }
}

function describe(certificate: X509Certificate): Certificate {
  // Node puts a name that holds a separator in quotes, so that it cannot pass for several.
  const names = certificate.subjectAltName?.split(', ') ?? []
  const ofKind = (kind: string): string[] =>
    names.filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length))
  return {
    serial: certificate.serialNumber.toLowerCase().replace(/^0+/, ''),
    subjectName: /^CN=([^\n]*)$/m.exec(certificate.subject)?.[1] ?? '',
    uris: ofKind('URI:'),
    hosts: [...ofKind('IP Address:'), ...ofKind('DNS:')],
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    isAuthority: certificate.ca,
    keyHash: sha256Hex(keyOf(certificate)),
    hash: sha256Hex(certificate.raw),
  }
}

function keyOf(certificate: X509Certificate): Uint8Array {
  try {
    return certificate.publicKey.export({ format: 'der', type: 'spki' })
  } catch (error) {
    throw new Fault('invalid', 'a certificate with an unknown kind of key', { cause: error })
  }
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
