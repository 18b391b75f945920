// What acts share: what they work with, reading what must be there, and limits.

import { Fault } from '../base/index.ts'
import type { KeyValue } from '../keyspace/index.ts'
import { firstTenant, type Tenant } from './access.ts'
import type { Acts, ActsDeps, Draft } from './acts.ts'
import { checkTenantId } from './core/names.ts'
import { tenantCodec, tenantKey } from './core/records.ts'
import type { Wrapping } from './wrap.ts'

export type Rooms = { readonly deps: ActsDeps; readonly acts: Acts; readonly wrapping: Wrapping }

/** Fault 'not-found' (NoSuchEntity). The first tenant is there without a record. */
export async function readTenant(draft: Draft, id: string): Promise<Tenant> {
  checkTenantId(id)
  const kv = await draft.read(tenantKey(id))
  if (kv !== undefined) return tenantCodec.decode(kv.value)
  if (id === firstTenant) return { id, name: 'main', createdMs: 0, keys: [] }
  throw noSuch(`tenant ${id}`)
}

/** Fault 'not-found' (NoSuchEntity) that names what is missing. */
export async function readHolder(
  draft: Draft,
  key: Uint8Array,
  { tenant, what }: { readonly tenant: string; readonly what: string },
): Promise<KeyValue> {
  checkTenantId(tenant)
  const kv = await draft.read(key)
  if (kv === undefined) throw noSuch(`${what} of tenant ${tenant}`)
  return kv
}

export function noSuch(what: string): Fault {
  return new Fault('not-found', `there is no ${what}`, {
    s3: { code: 'NoSuchEntity', status: 404 },
  })
}

/** Fault 'overloaded' (LimitExceeded). */
export function checkLimit(present: number, most: number, what: string): void {
  if (present < most) return
  throw new Fault('overloaded', `there are ${most} ${what} at most`, {
    s3: { code: 'LimitExceeded', status: 409 },
  })
}
