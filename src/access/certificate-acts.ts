// Client certificates: made known, listed, revoked. What is kept of one is its hash, whose it is and what it opens; that the caller
// has its key is proved by the handshake, so it does not matter here who signed it. It ends with its record: at its time,
// when it is revoked, or with its user.

import { Fault } from '../base/index.ts'
import {
  type AccessAdmin,
  type CertificateRequest,
  type ClientCertificate,
  tokenScopes,
} from './access.ts'
import { type Draft, listAll } from './acts.ts'
import { checkName, limits } from './core/names.ts'
import { certificateCodec, certificateKey, certificatePrefix, userKey } from './core/records.ts'
import { checkLimit, noSuch, readHolder, readTenant, type Rooms } from './tenants.ts'

type CertificateActs = Pick<
  AccessAdmin,
  'addCertificate' | 'deleteCertificate' | 'listCertificates'
>

const lifeMsMax = 10 * 366 * 86_400_000
const idCharacters = 20

export const certificateIdOf = (hash: string): string => hash.slice(0, idCharacters)

export function createCertificateActs({ deps, acts }: Rooms): CertificateActs {
  const { host, system } = deps
  return {
    async addCertificate(by, request) {
      const createdMs = Math.floor(host.clock.wallMs())
      checkRequest(request, createdMs)
      const { tenant, name, user, scopes, expiresMs, hash } = request
      const id = certificateIdOf(hash)
      const act = { by, action: 'admin:CreateClientCertificate', resource: arnOf(tenant, name) }
      return acts.run(act, async (draft) => {
        await readTenant(draft, tenant)
        if (user !== '')
          await readHolder(draft, userKey(tenant, user), { tenant, what: `user ${user}` })
        if ((await draft.read(certificateKey(id))) !== undefined) {
          throw new Fault('exists', 'the certificate is known already', { fields: { id } })
        }
        checkLimit(await draft.count(certificatePrefix), limits.certificates, 'client certificates')
        const sorted = tokenScopes.filter((scope) => scopes.includes(scope))
        const made: ClientCertificate = {
          id,
          tenant,
          name,
          user,
          scopes: sorted,
          createdMs,
          expiresMs,
          hash,
        }
        draft.put(certificateKey(id), certificateCodec.encode(made))
        return made
      })
    },
    async deleteCertificate(by, { tenant, id }) {
      const act = { by, action: 'admin:DeleteClientCertificate', resource: arnOf(tenant, id) }
      await acts.run(act, async (draft) => {
        const what = `client certificate ${id.slice(0, 64)}`
        const kv = await readHolder(draft, certificateKey(id), { tenant, what })
        // Of another tenant: not told from one that does not exist.
        if (certificateCodec.decode(kv.value).tenant !== tenant) throw noSuch(what)
        draft.delete(certificateKey(id))
      })
    },
    listCertificates: async (tenant) => ofTenant(await listAll(system, certificatePrefix), tenant),
  }
}

export async function certificatesOf(
  draft: Draft,
  tenant: string,
): Promise<readonly ClientCertificate[]> {
  return ofTenant(await draft.list(certificatePrefix), tenant)
}

function ofTenant(
  kvs: readonly { readonly value: Uint8Array }[],
  tenant: string,
): readonly ClientCertificate[] {
  const records = kvs.map(({ value }) => certificateCodec.decode(value))
  return records.filter((record) => record.tenant === tenant)
}

function checkRequest({ name, user, scopes, expiresMs, hash }: CertificateRequest, nowMs: number) {
  checkName(name, "a certificate's name")
  if (user !== '') checkName(user, "a user's name")
  if (scopes.length === 0 || !scopes.every((scope) => tokenScopes.includes(scope))) {
    throw new Fault('invalid', `a certificate has at least one scope of ${tokenScopes.join(', ')}`)
  }
  const lifeMs = expiresMs - nowMs
  if (!Number.isSafeInteger(expiresMs) || lifeMs < 1 || lifeMs > lifeMsMax) {
    throw new Fault('invalid', 'the certificate has ended, or lives more than ten years')
  }
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new Fault('invalid', 'this is no hash of a certificate')
}

const arnOf = (tenant: string, name: string): string =>
  `arn:aws:iam::${tenant}:client-certificate/${name}`
