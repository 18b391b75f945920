// Routes of rights: tenants, users, groups, policies, access keys, client tokens, the audit log. Everything of a tenant
// is below its own path, which is all that a token of the tenant reaches.
//
//   GET POST    /v1/access/tenants                       {"tenants"}; {"name"} -> {"tenant", "key"}
//   DELETE      /v1/access/tenants/{tenant}
//   GET POST    .../users      .../groups                {"users"}; {"name"} -> the user
//   DELETE      .../users/{user}      .../groups/{group}
//   PUT DELETE  .../groups/{group}/members/{user}
//   GET         .../policies                             {"policies"}, with their documents
//   PUT DELETE  .../policies/{policy}                    {"document": policy as JSON or as text}
//   PUT DELETE  .../users/{user}/policies/{policy}       attach, detach
//   PUT DELETE  .../groups/{group}/policies/{policy}
//   GET POST    .../keys                                 ?user=NAME; {"user"} -> the key with its secret; without: the root's
//   PUT DELETE  .../keys/{key}                           {"active": bool}
//   POST        .../root/rotate                          {"overlapSeconds"} -> the new root key with its secret
//   GET POST    .../tokens                               {"name", "scopes", "lifeSeconds"} -> the token with its text
//   DELETE      .../tokens/{token}
//   GET POST    .../certificates                         {"name", "scopes", "user"?, and "request": PEM with "lifeSeconds", signed by the
//                                                        cluster's authority, or "certificate": PEM, whoever signed it} -> the
//                                                        record; of a request also "certificatePem"
//   DELETE      .../certificates/{certificate}
//   GET         /v1/access/audit                         ?before=SEQUENCE&limit=N, newest first: {"entries"}
//
// Secrets are shown once, in the answer that made them.

import {
  type Access,
  type AccessAdmin,
  type Actor,
  checkName,
  firstTenant,
  type TokenScope,
  tokenScopes,
} from '../../access/index.ts'
import { Fault } from '../../base/index.ts'
import { actorOf } from './authority.ts'
import {
  type AdminAction,
  type AdminCall,
  type AdminMethod,
  type AdminRoute,
  answerJson,
} from './routes.ts'

/** One act on its way: what the path and the caller say. */
type Act = {
  readonly admin: AccessAdmin
  readonly by: Actor
  readonly tenant: string
  readonly call: AdminCall
  /** A part of the path. */
  param(name: string): string
  body(): Promise<Readonly<Record<string, unknown>>>
}

/** How certificates of clients are read and made. */
export type CertificateMaker = {
  /** Fault 'invalid' for what is no certificate. */
  read(certificatePem: string): Promise<{ readonly hash: string; readonly notAfterMs: number }>
  /** Signed by the cluster's authority. Faults as EnrolmentDesk.certifyClient. */
  certify(client: {
    readonly name: string
    readonly requestPem: string
    readonly lifeMs: number
  }): Promise<string>
}

export type AccessRouteDeps = {
  readonly access: Pick<Access, 'admin'>
  readonly certificates: CertificateMaker
  /** Whether any bucket belongs to the tenant. */
  readonly hasBuckets: (tenant: string) => Promise<boolean>
}

type Run = (act: Act) => Promise<unknown>

/** The document of a policy with everything around it. */
const policyBodyBytesMax = 128 * 1024

export function accessRoutes(deps: AccessRouteDeps): readonly AdminRoute[] {
  const { admin } = deps.access
  const route = (name: string, needs: AdminAction, run: Run): AdminRoute => {
    const [method = '', path = ''] = name.split(' ')
    return {
      method: method as AdminMethod,
      path: `/v1/access/${path}`,
      needs,
      isEnteredByItself: true,
      async answer(call) {
        const answer = await run(actOf(call, admin))
        return answerJson(200, answer ?? {})
      },
    }
  }
  const of = (name: string, needs: AdminAction, run: Run): AdminRoute => {
    const [method = '', path = ''] = name.split(' ')
    return route(`${method} tenants/{tenant}/${path}`, needs, run)
  }
  return [
    ...clusterWide(route, deps.hasBuckets),
    ...people(of),
    ...policies(of),
    ...secrets(of),
    ...certificates(of, deps.certificates),
  ]
}

type Route = (name: string, needs: AdminAction, run: Run) => AdminRoute

function clusterWide(
  route: Route,
  hasBuckets: AccessRouteDeps['hasBuckets'],
): readonly AdminRoute[] {
  return [
    route('GET tenants', 'admin:ReadRights', async ({ admin }) => ({
      tenants: await admin.listTenants(),
    })),
    route('POST tenants', 'admin:CreateTenant', async ({ admin, by, body }) =>
      admin.createTenant(by, textOf(await body(), 'name')),
    ),
    route('DELETE tenants/{tenant}', 'admin:DeleteTenant', async ({ admin, by, tenant }) =>
      admin.deleteTenant(by, tenant, () => hasBuckets(tenant)),
    ),
    route('GET audit', 'admin:ReadAudit', async ({ admin, call: { query } }) => {
      const before = numberOf(query.get('before'), 'before')
      const limit = numberOf(query.get('limit'), 'limit')
      const entries = await admin.listAudit({
        ...(before === undefined ? {} : { before }),
        ...(limit === undefined ? {} : { limit }),
      })
      return { entries }
    }),
  ]
}

function people(of: Route): readonly AdminRoute[] {
  const membership =
    (isMember: boolean): Run =>
    ({ admin, by, tenant, param }) =>
      admin.setMembership(by, { tenant, user: param('user'), group: param('group'), isMember })
  return [
    of('GET users', 'admin:ReadRights', async ({ admin, tenant }) => ({
      users: await admin.listUsers(tenant),
    })),
    of('POST users', 'admin:CreateUser', async ({ admin, by, tenant, body }) =>
      admin.createUser(by, { tenant, user: textOf(await body(), 'name') }),
    ),
    of('DELETE users/{user}', 'admin:DeleteUser', ({ admin, by, tenant, param }) =>
      admin.deleteUser(by, { tenant, user: param('user') }),
    ),
    of('GET groups', 'admin:ReadRights', async ({ admin, tenant }) => ({
      groups: await admin.listGroups(tenant),
    })),
    of('POST groups', 'admin:CreateGroup', async ({ admin, by, tenant, body }) =>
      admin.createGroup(by, { tenant, group: textOf(await body(), 'name') }),
    ),
    of('DELETE groups/{group}', 'admin:DeleteGroup', ({ admin, by, tenant, param }) =>
      admin.deleteGroup(by, { tenant, group: param('group') }),
    ),
    of('PUT groups/{group}/members/{user}', 'admin:AddUserToGroup', membership(true)),
    of('DELETE groups/{group}/members/{user}', 'admin:RemoveUserFromGroup', membership(false)),
  ]
}

function policies(of: Route): readonly AdminRoute[] {
  const attachment =
    (holder: 'user' | 'group', isAttached: boolean): Run =>
    ({ admin, by, tenant, param }) =>
      admin.setAttachment(by, {
        tenant,
        policy: param('policy'),
        [holder]: param(holder),
        isAttached,
      })
  return [
    of('GET policies', 'admin:ReadRights', async ({ admin, tenant }) => ({
      policies: await admin.listPolicies(tenant),
    })),
    of('PUT policies/{policy}', 'admin:PutPolicy', async ({ admin, by, tenant, param, call }) => {
      const { document } = objectOf(await call.body(policyBodyBytesMax))
      const text = typeof document === 'string' ? document : JSON.stringify(document)
      if (text === undefined) throw new Fault('invalid', 'expected {"document": ...}')
      return admin.putPolicy(by, { tenant, policy: param('policy'), document: text })
    }),
    of('DELETE policies/{policy}', 'admin:DeletePolicy', ({ admin, by, tenant, param }) =>
      admin.deletePolicy(by, { tenant, policy: param('policy') }),
    ),
    of('PUT users/{user}/policies/{policy}', 'admin:AttachPolicy', attachment('user', true)),
    of('DELETE users/{user}/policies/{policy}', 'admin:DetachPolicy', attachment('user', false)),
    of('PUT groups/{group}/policies/{policy}', 'admin:AttachPolicy', attachment('group', true)),
    of('DELETE groups/{group}/policies/{policy}', 'admin:DetachPolicy', attachment('group', false)),
  ]
}

function secrets(of: Route): readonly AdminRoute[] {
  return [
    of('GET keys', 'admin:ReadRights', async ({ admin, tenant, call: { query } }) => ({
      keys: await admin.listKeys({ tenant, user: query.get('user') ?? '' }),
    })),
    of('POST keys', 'admin:CreateAccessKey', async ({ admin, by, tenant, body }) => {
      const given = await body()
      const user = given.user === undefined ? '' : textOf(given, 'user')
      return admin.createKey(by, { tenant, user })
    }),
    of('PUT keys/{key}', 'admin:UpdateAccessKey', async ({ admin, by, tenant, param, body }) => {
      const { active } = await body()
      if (typeof active !== 'boolean') throw new Fault('invalid', 'expected {"active": bool}')
      return admin.setKeyActive(by, { tenant, key: param('key'), isActive: active })
    }),
    of('DELETE keys/{key}', 'admin:DeleteAccessKey', ({ admin, by, tenant, param }) =>
      admin.deleteKey(by, { tenant, key: param('key') }),
    ),
    of('POST root/rotate', 'admin:RotateRootCredential', async ({ admin, by, tenant, body }) =>
      admin.rotateRoot(by, tenant, secondsOf(await body(), 'overlapSeconds')),
    ),
    of('GET tokens', 'admin:ReadRights', async ({ admin, tenant }) => ({
      tokens: await admin.listTokens(tenant),
    })),
    of('POST tokens', 'admin:CreateClientToken', async ({ admin, by, tenant, body }) => {
      const given = await body()
      const lifeMs = secondsOf(given, 'lifeSeconds')
      const scopes = scopesOf(given.scopes)
      return admin.createToken(by, { tenant, name: textOf(given, 'name'), scopes, lifeMs })
    }),
    of('DELETE tokens/{token}', 'admin:DeleteClientToken', ({ admin, by, tenant, param }) =>
      admin.deleteToken(by, { tenant, id: param('token') }),
    ),
  ]
}

function certificates(of: Route, maker: CertificateMaker): readonly AdminRoute[] {
  return [
    of('GET certificates', 'admin:ReadRights', async ({ admin, tenant }) => ({
      certificates: await admin.listCertificates(tenant),
    })),
    of('POST certificates', 'admin:CreateClientCertificate', async (act) => {
      const { admin, by, tenant } = act
      const given = await act.body()
      const name = textOf(given, 'name')
      checkName(name, "a certificate's name")
      const scopes = scopesOf(given.scopes)
      const user = given.user === undefined ? '' : textOf(given, 'user')
      const isMade = given.certificate === undefined
      const certificatePem = isMade
        ? await maker.certify({
            name,
            requestPem: textOf(given, 'request'),
            lifeMs: secondsOf(given, 'lifeSeconds'),
          })
        : textOf(given, 'certificate')
      const { hash, notAfterMs } = await maker.read(certificatePem)
      const asked = { tenant, name, user, scopes, expiresMs: notAfterMs, hash }
      const made = await admin.addCertificate(by, asked)
      return isMade ? { ...made, certificatePem } : made
    }),
    of(
      'DELETE certificates/{certificate}',
      'admin:DeleteClientCertificate',
      ({ admin, by, tenant, param }) =>
        admin.deleteCertificate(by, { tenant, id: param('certificate') }),
    ),
  ]
}

/** Authorisation went by the path as it was sent; here the tenant that was read from it is compared once more. */
function actOf(call: AdminCall, admin: AccessAdmin): Act {
  const { caller, params } = call
  const tenant = params.tenant ?? firstTenant
  if (caller.tenant !== firstTenant && caller.tenant !== tenant) {
    throw new Fault('denied', 'another tenant')
  }
  return {
    admin,
    by: actorOf(caller, call.request),
    tenant,
    call,
    param: (name) => params[name] ?? '',
    body: async () => objectOf(await call.body()),
  }
}

function objectOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    return body as Readonly<Record<string, unknown>>
  }
  throw new Fault('invalid', 'expected an object')
}

function textOf(body: Readonly<Record<string, unknown>>, name: string): string {
  const value = body[name]
  if (typeof value === 'string' && value !== '') return value
  throw new Fault('invalid', `expected {"${name}": text}`)
}

/** In milliseconds. */
function secondsOf(body: Readonly<Record<string, unknown>>, name: string): number {
  const value = body[name]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 1e10) {
    return value * 1000
  }
  throw new Fault('invalid', `expected {"${name}": whole seconds}`)
}

function scopesOf(value: unknown): readonly TokenScope[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : []
  const scopes = tokenScopes.filter((scope) => given.includes(scope))
  if (scopes.length > 0 && scopes.length === given.length) return scopes
  throw new Fault('invalid', `"scopes" lists some of ${tokenScopes.join(', ')}, each once`)
}

function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0
  if (number > 0) return number
  throw new Fault('invalid', `"${name}" is a number from 1 on`)
}
