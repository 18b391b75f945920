// etcd's Auth while authentication is off, which it always is here: the answers are those of an etcd that never
// knew a user. Making users and roles is refused by name.

import { bytes, repeated, text, bool, int64, nested, enumeration } from './core/fields.ts'
import { message } from '../../base/index.ts'
import { type Method, unary } from './context.ts'
import { type EtcdError, EtcdRefusal, etcdErrors, grpcCode } from './core/errors.ts'
import { empty, header, headerOnly } from './core/messages.ts'

const credentials = message({ name: text(1), password: text(2) })
const token = message({ header: nested(1, header), token: text(2) })
const authStatus = message({
  header: nested(1, header),
  enabled: bool(2),
  authRevision: int64(3, 'authRevision'),
})
const named = message({ name: text(1) })
const ofRole = message({ role: text(1) })
const userRole = message({ user: text(1), role: text(2) })
const nameRole = message({ name: text(1), role: text(2) })
const permission = message({
  permType: enumeration(1, ['READ', 'WRITE', 'READWRITE'], 'permType'),
  key: bytes(2),
  rangeEnd: bytes(3),
})
const grant = message({ name: text(1), perm: nested(2, permission) })
const revocation = message({ role: text(1), key: bytes(2), rangeEnd: bytes(3) })
const roles = message({ header: nested(1, header), roles: repeated(text(2)) })
const users = message({ header: nested(1, header), users: repeated(text(2)) })
const permissions = message({ header: nested(1, header), perm: repeated(nested(2, permission)) })

const refuse = (error: EtcdError) => async (): Promise<never> => {
  throw new EtcdRefusal(error)
}
const noUsers: EtcdError = {
  code: grpcCode.unimplemented,
  text: 'etcdserver: users and roles are not kept here; the port is guarded by its certificates',
}

export const authMethods: readonly Method[] = [
  unary('etcdserverpb.Auth/AuthEnable', [empty, headerOnly], refuse(etcdErrors.rootUserMissing)),
  unary('etcdserverpb.Auth/AuthDisable', [empty, headerOnly], async (context) => ({
    header: context.localHeader(),
  })),
  unary('etcdserverpb.Auth/AuthStatus', [empty, authStatus], async (context) => ({
    header: context.localHeader(),
    enabled: false,
    authRevision: 1,
  })),
  unary('etcdserverpb.Auth/Authenticate', [credentials, token], refuse(etcdErrors.authNotEnabled)),
  unary('etcdserverpb.Auth/UserList', [empty, users], async (context) => ({
    header: context.localHeader(),
    users: [],
  })),
  unary('etcdserverpb.Auth/RoleList', [empty, roles], async (context) => ({
    header: context.localHeader(),
    roles: [],
  })),
  unary('etcdserverpb.Auth/UserGet', [named, roles], refuse(etcdErrors.userNotFound)),
  unary('etcdserverpb.Auth/RoleGet', [ofRole, permissions], refuse(etcdErrors.roleNotFound)),
  unary('etcdserverpb.Auth/UserDelete', [named, headerOnly], refuse(etcdErrors.userNotFound)),
  unary('etcdserverpb.Auth/RoleDelete', [ofRole, headerOnly], refuse(etcdErrors.roleNotFound)),
  unary(
    'etcdserverpb.Auth/UserChangePassword',
    [credentials, headerOnly],
    refuse(etcdErrors.userNotFound),
  ),
  unary('etcdserverpb.Auth/UserGrantRole', [userRole, headerOnly], refuse(etcdErrors.userNotFound)),
  unary(
    'etcdserverpb.Auth/UserRevokeRole',
    [nameRole, headerOnly],
    refuse(etcdErrors.userNotFound),
  ),
  unary(
    'etcdserverpb.Auth/RoleGrantPermission',
    [grant, headerOnly],
    refuse(etcdErrors.roleNotFound),
  ),
  unary(
    'etcdserverpb.Auth/RoleRevokePermission',
    [revocation, headerOnly],
    refuse(etcdErrors.roleNotFound),
  ),
  unary('etcdserverpb.Auth/UserAdd', [credentials, headerOnly], refuse(noUsers)),
  unary('etcdserverpb.Auth/RoleAdd', [named, headerOnly], refuse(noUsers)),
]
