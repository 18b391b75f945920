// Bringing the authority into the namespace: once, by a founder that has it in its directory. From then on every
// member with the seal key can admit machines.

import { Fault } from '../base/index.ts'
import type { Host, PemPair } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { checkClusterConfig, configDefaults } from './core/cluster-config.ts'
import { absent, put, unchanged } from './core/compares.ts'
import {
  authorityCodec,
  authorityKey,
  type AuthorityRecord,
  configCodec,
  configHistoryKey,
  configKey,
  type ConfigRecord,
} from './core/enrolment-records.ts'
import { requireSealKey, sealCheckOf } from './core/sealing.ts'
import type { ClusterConfig } from './enrolment.ts'
import { readSystem } from './system-sight.ts'
import { makeSigner, nextBundle, sealAuthorityKey } from './trust-state.ts'

/**
 * Settles when an authority is sealed, by this node or another; with it go the first settings and the first
 * cluster.json. Fault 'denied' when the one that is there is sealed by another key.
 */
export async function sealAuthority(
  {
    host,
    system,
  }: { readonly host: Pick<Host, 'pki' | 'clock' | 'random'>; readonly system: Keyspace },
  given: {
    readonly authority: PemPair
    readonly sealKey: Uint8Array
    readonly config?: Partial<ClusterConfig> | undefined
  },
): Promise<void> {
  const { authority, sealKey } = given
  const sight = await readSystem(system)
  if (sight.authority !== undefined) {
    requireSealKey(sealKey, sight.authority.sealCheck)
    return
  }
  const { keyHash, notAfterMs, isAuthority } = await host.pki.readCertificate(
    authority.certificatePem,
  )
  if (!isAuthority) throw new Fault('invalid', 'identity/authority.pem is no authority')
  const { random } = host
  const sealedKey = sealAuthorityKey(authority, keyHash, { sealKey, random })
  const { certificatePem } = authority
  const record: AuthorityRecord = {
    authorities: [{ certificatePem, sealedKey, keyHash, notAfterMs, state: 'signing' }],
    signer: makeSigner(sealKey, random),
    nextSigner: undefined,
    handovers: [],
    sealCheck: sealCheckOf(sealKey),
  }
  const changedMs = Math.floor(host.clock.wallMs())
  const listed = sight.members.filter(({ state }) => state !== 'removed').length
  const defaults = { ...configDefaults, targetSize: listed }
  const config = checkClusterConfig({ ...defaults, ...given.config })
  const first: ConfigRecord = { version: 1, changedMs, changedBy: 'founding', config }
  const bundle = nextBundle(sight, { nowMs: changedMs, sealKey, config, authority: record })
  // When it fails another founder was first, and had the same files.
  await system.txn({
    compares: [absent(authorityKey), unchanged(configKey, sight.configKv), ...bundle.compares],
    success: [
      put(authorityKey, authorityCodec.encode(record)),
      put(configKey, configCodec.encode(first)),
      put(configHistoryKey(1), configCodec.encode(first)),
      ...bundle.operations,
    ],
    failure: [],
  })
}
