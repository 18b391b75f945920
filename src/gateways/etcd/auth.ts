// etcd's Auth. Every change is the next document of the namespace's guard, made from the one that the call was
// allowed under (core/auth-state.ts); the gate decides anew when another came between.

import { type Message, message, type MessageOf } from '../../base/index.ts'
import { type Context, type Method, unary } from './context.ts'
import {
  addRole,
  addUser,
  type AuthState,
  changePassword,
  disable,
  enable,
  encodeAuthState,
  findUser,
  grantPermission,
  grantRole,
  removeRole,
  removeUser,
  requireRole,
  requireUser,
  revokePermission,
  revokeRole,
  rootName,
} from './core/auth-state.ts'
import { EtcdRefusal, etcdErrors } from './core/errors.ts'
import {
  bool,
  bytes,
  empty,
  enumeration,
  type Header,
  header,
  headerOnly,
  int64,
  nested,
  repeated,
  text,
} from '../../keyspace/etcd/wire.ts'
import { permissionKinds } from './core/permissions.ts'

export const credentials = message({ name: text(1), password: text(2) })
export const newUser = message({
  name: text(1),
  password: text(2),
  options: nested(3, message({ noPassword: bool(1) })),
})
export const token = message({ header: nested(1, header), token: text(2) })
export const authStatus = message({
  header: nested(1, header),
  enabled: bool(2),
  authRevision: int64(3, 'authRevision'),
})
export const named = message({ name: text(1) })
export const ofRole = message({ role: text(1) })
export const userRole = message({ user: text(1), role: text(2) })
export const nameRole = message({ name: text(1), role: text(2) })
const permission = message({
  permType: enumeration(1, permissionKinds, 'permType'),
  key: bytes(2),
  rangeEnd: bytes(3),
})
export const grant = message({ name: text(1), perm: nested(2, permission) })
export const revocation = message({ role: text(1), key: bytes(2), rangeEnd: bytes(3) })
export const roles = message({ header: nested(1, header), roles: repeated(text(2)) })
export const users = message({ header: nested(1, header), users: repeated(text(2)) })
export const permissions = message({
  header: nested(1, header),
  perm: repeated(nested(2, permission)),
})

const tokenKeyBytes = 32
const none = new Uint8Array(0)
const openEnd = Uint8Array.of(0)

export const authMethods: readonly Method[] = [
  changing('AuthEnable', empty, ({ host }, state) =>
    enable(state, host.random.bytes(tokenKeyBytes)),
  ),
  changing('AuthDisable', empty, (_context, state) => disable(state)),
  unary('etcdserverpb.Auth/AuthStatus', [empty, authStatus], async (context, _request, options) => {
    const { isEnabled, revision } = options.permit.state
    return { header: context.localHeader(), enabled: isEnabled, authRevision: revision }
  }),
  unary('etcdserverpb.Auth/Authenticate', [credentials, token], authenticate),
  changing('UserAdd', newUser, async (context, state, request) => {
    // What is refused is refused before the work.
    addUser(state, request.name, none)
    const hasPassword = request.options?.noPassword !== true
    const hash = hasPassword ? await hashOnce(context, request) : none
    return addUser(state, request.name, hash)
  }),
  unary('etcdserverpb.Auth/UserGet', [named, roles], async (context, { name }, { permit }) => ({
    header: context.localHeader(),
    roles: requireUser(permit.state, name).roles,
  })),
  unary('etcdserverpb.Auth/UserList', [empty, users], async (context, _request, { permit }) => ({
    header: context.localHeader(),
    users: permit.state.users.map(({ name }) => name),
  })),
  changing('UserDelete', named, (_context, state, { name }) => removeUser(state, name)),
  changing('UserChangePassword', credentials, async (context, state, request) => {
    requireUser(state, request.name)
    return changePassword(state, request.name, await hashOnce(context, request))
  }),
  changing('UserGrantRole', userRole, (_context, state, { user, role }) =>
    grantRole(state, user, role),
  ),
  changing('UserRevokeRole', nameRole, (_context, state, { name, role }) =>
    revokeRole(state, name, role),
  ),
  changing('RoleAdd', named, (_context, state, { name }) => addRole(state, name)),
  unary('etcdserverpb.Auth/RoleGet', [ofRole, permissions], async (context, request, options) => ({
    header: context.localHeader(),
    perm: permissionsOf(options.permit.state, request.role),
  })),
  unary('etcdserverpb.Auth/RoleList', [empty, roles], async (context, _request, { permit }) => ({
    header: context.localHeader(),
    roles: permit.state.roles.map(({ name }) => name),
  })),
  changing('RoleDelete', ofRole, (_context, state, { role }) => removeRole(state, role)),
  changing('RoleGrantPermission', grant, (_context, state, { name, perm }) => {
    const { permType: kind = 0, key = none, rangeEnd = none } = perm ?? {}
    return grantPermission(state, name, perm === undefined ? undefined : { kind, key, rangeEnd })
  }),
  changing('RoleRevokePermission', revocation, (_context, state, { role, key, rangeEnd }) =>
    revokePermission(state, role, { key, rangeEnd }),
  ),
]

type Change<Q> = (context: Context, state: AuthState, request: Q) => AuthState | Promise<AuthState>

// biome-ignore lint/suspicious/noExplicitAny: inference over open records of fields
type Fields = Record<string, any>

/** A call whose answer is a header: puts what `change` makes of the state in its place. */
function changing<Q extends Fields>(
  name: string,
  request: Message<Q>,
  change: Change<MessageOf<Message<Q>>>,
): Method {
  const shapes = [request, headerOnly] as const
  return unary(`etcdserverpb.Auth/${name}`, shapes, async (context, asked, options) => {
    const { guard, state } = options.permit
    const next = await change(context, state, asked)
    if (next !== state) {
      const document = encodeAuthState(next)
      const revision = await context.keyspace.setGuard({ expected: guard, document }, options)
      context.gate.learn(revision, next)
    }
    return { header: context.localHeader() }
  })
}

/** The newest users were asked for (calls.ts), so that a password that was changed anywhere is the one that counts. */
async function authenticate(
  context: Context,
  request: { readonly name: string; readonly password: string },
): Promise<{ readonly header: Header; readonly token: string }> {
  const { gate } = context
  const permit = gate.permitOf(undefined)
  if (!permit.state.isEnabled) throw new EtcdRefusal(etcdErrors.authNotEnabled)
  const user = findUser(permit.state, request.name)
  const isRight = await context.passwords.isRight(request.password, user?.password)
  if (!isRight || user === undefined) throw new EtcdRefusal(etcdErrors.authFailed)
  return { header: context.localHeader(), token: gate.issueToken(permit, user) }
}

function permissionsOf(state: AuthState, name: string) {
  const role = requireRole(state, name)
  if (name === rootName) {
    return [{ permType: permissionKinds.indexOf('READWRITE'), key: none, rangeEnd: openEnd }]
  }
  return role.permissions.map(({ kind, key, rangeEnd }) => ({ permType: kind, key, rangeEnd }))
}

const hashes = new WeakMap<object, Promise<Uint8Array>>()

/** A call that is decided several times hashes its password once. */
function hashOnce(
  { passwords }: Context,
  request: { readonly password: string },
): Promise<Uint8Array> {
  const known = hashes.get(request) ?? passwords.hash(request.password)
  hashes.set(request, known)
  return known
}
