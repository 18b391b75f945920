// What a node's directory holds of the cluster's trust besides its certificates: the seal key, and on a founder the
// authority's key until it is sealed in the namespace. And the choice of the key that fits a certificate.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { type EnrolmentSettings, identityFiles } from '../cluster/index.ts'
import type { PemPair } from '../host/index.ts'
import { readText, requireText, writeText } from './files.ts'

/** Gives a founder what it seals into the namespace, and with what. */
export function writeFounderSecrets(
  nodeDir: string,
  secrets: { readonly sealKeyHex: string; readonly authorityKeyPem: string | undefined },
): void {
  const { sealKeyHex, authorityKeyPem } = secrets
  writeText(join(nodeDir, identityFiles.sealKey), `${sealKeyHex}\n`, { isSecret: true })
  if (authorityKeyPem === undefined) return
  writeText(join(nodeDir, identityFiles.authorityKey), authorityKeyPem, { isSecret: true })
}

export function readEnrolment(
  nodeDir: string,
  given: {
    readonly topologyText: string
    readonly targetSize?: number | undefined
  },
): EnrolmentSettings {
  const sealKeyHex = readText(join(nodeDir, identityFiles.sealKey))?.trim()
  const privateKeyPem = readText(join(nodeDir, identityFiles.authorityKey))
  const { topologyText, targetSize } = given
  return {
    topologyText,
    ...(sealKeyHex === undefined ? {} : { sealKeyHex }),
    ...(privateKeyPem === undefined ? {} : { authority: readAuthority(nodeDir, privateKeyPem) }),
    ...(targetSize === undefined ? {} : { config: { targetSize } }),
  }
}

function readAuthority(nodeDir: string, privateKeyPem: string): PemPair {
  const certificatePem = requireText(join(nodeDir, identityFiles.authorityCertificate))
  return { certificatePem, privateKeyPem }
}

/**
 * A certificate and the key that fits it. A stop in the middle of a renewal leaves the new certificate beside the
 * old key and the new key under another name: then that one is it, and gets its place.
 */
export function readPair(
  nodeDir: string,
  names: { readonly certificate: string; readonly key: string; readonly keyNext: string },
): { readonly certificatePem: string; readonly privateKeyPem: string } {
  const certificatePem = requireText(join(nodeDir, names.certificate))
  const next = readText(join(nodeDir, names.keyNext))
  if (next !== undefined && fits(certificatePem, next)) {
    renameSync(join(nodeDir, names.keyNext), join(nodeDir, names.key))
    return { certificatePem, privateKeyPem: next }
  }
  return { certificatePem, privateKeyPem: requireText(join(nodeDir, names.key)) }
}

function fits(certificatePem: string, privateKeyPem: string): boolean {
  try {
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem))
  } catch {
    return false
  }
}
