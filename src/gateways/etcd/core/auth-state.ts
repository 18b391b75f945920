// Users, roles and what they may do: the document that guards the namespace, and what etcd's Auth calls make of
// it (server/auth/store.go, 3.5): each a function from one state to the next, or a refusal in etcd's words. Names
// are sorted by their bytes as UTF-16 orders them, which for names in ASCII is etcd's order.

import {
  bool,
  bytes,
  codecOf,
  compareBytes,
  concatBytes,
  equalBytes,
  Fault,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../../../base/index.ts'
import type { Field } from '../../../base/index.ts'
import { EtcdRefusal, etcdErrors } from './errors.ts'
import { type AuthPermission, permissionKinds } from './permissions.ts'

export type AuthUser = {
  readonly name: string
  /** A PasswordHash (password.ts); empty: no password is right. */
  readonly password: Uint8Array
  /** Drawn from the state's counter when the password was set: tokens name it, so that they end with it. */
  readonly serial: number
  /** Sorted. */
  readonly roles: readonly string[]
}
export type AuthRole = {
  readonly name: string
  /** Sorted by key. */
  readonly permissions: readonly AuthPermission[]
}
export type AuthState = {
  readonly isEnabled: boolean
  /** etcd's: 1 at first, one more with every change but the enabling. */
  readonly revision: number
  readonly serials: number
  /** Signs tokens; drawn when authentication is enabled. */
  readonly tokenKey: Uint8Array
  /** Sorted by name. */
  readonly users: readonly AuthUser[]
  readonly roles: readonly AuthRole[]
}

export const rootName = 'root'
const documentVersion = 1
const none = new Uint8Array(0)

export const noAuth: AuthState = {
  isEnabled: false,
  revision: 1,
  serials: 0,
  tokenKey: none,
  users: [],
  roles: [],
}

// ---- the document ----

const permissionFields = message({ kind: uint(1), key: bytes(2), rangeEnd: bytes(3) })
const roleFields = message({
  name: text(1),
  permissions: each<AuthPermission>(nested(2, permissionFields)),
})
const userFields = message({
  name: text(1),
  password: bytes(2),
  serial: uint(3),
  roles: repeated(text(4)),
})
const stateFields = message({
  isEnabled: bool(1),
  revision: uint(2),
  serials: uint(3),
  tokenKey: bytes(4),
  users: each<AuthUser>(nested(5, userFields)),
  roles: each<AuthRole>(nested(6, roleFields)),
})
const stateCodec = codecOf(stateFields)

function each<T>(field: Field<T | undefined>): Field<readonly T[]> {
  return repeated(field as Field<T>)
}

/** version 1, message. */
export function encodeAuthState(state: AuthState): Uint8Array {
  return concatBytes([Uint8Array.of(documentVersion), stateCodec.encode(state)])
}

/** No document is the state of an etcd that never knew a user. Fault 'unsupported' for a newer one. */
export function decodeAuthState(document: Uint8Array): AuthState {
  if (document.length === 0) return noAuth
  if (document[0] !== documentVersion) {
    throw new Fault('unsupported', `users and roles of version ${document[0]} are not known here`)
  }
  return stateCodec.decode(document.subarray(1))
}

// ---- changes ----

export function findUser(state: AuthState, name: string): AuthUser | undefined {
  return state.users.find((user) => user.name === name)
}

export function findRole(state: AuthState, name: string): AuthRole | undefined {
  return state.roles.find((role) => role.name === name)
}

export function enable(state: AuthState, tokenKey: Uint8Array): AuthState {
  if (state.isEnabled) return state
  const root = findUser(state, rootName)
  if (root === undefined) throw new EtcdRefusal(etcdErrors.rootUserMissing)
  if (!root.roles.includes(rootName)) throw new EtcdRefusal(etcdErrors.rootRoleMissing)
  return { ...state, isEnabled: true, tokenKey }
}

export function disable(state: AuthState): AuthState {
  if (!state.isEnabled) return state
  return changed({ ...state, isEnabled: false, tokenKey: none })
}

export function addUser(state: AuthState, name: string, password: Uint8Array): AuthState {
  if (name === '') throw new EtcdRefusal(etcdErrors.userEmpty)
  if (findUser(state, name) !== undefined) throw new EtcdRefusal(etcdErrors.userExists)
  const serial = state.serials + 1
  const user = { name, password, serial, roles: [] }
  return changed({ ...state, serials: serial, users: sorted([...state.users, user]) })
}

export function removeUser(state: AuthState, name: string): AuthState {
  if (state.isEnabled && name === rootName) throw new EtcdRefusal(etcdErrors.invalidManagement)
  requireUser(state, name)
  return changed({ ...state, users: state.users.filter((user) => user.name !== name) })
}

export function changePassword(state: AuthState, name: string, password: Uint8Array): AuthState {
  const serial = state.serials + 1
  const user = { ...requireUser(state, name), password, serial }
  return withUser({ ...state, serials: serial }, user)
}

export function grantRole(state: AuthState, name: string, role: string): AuthState {
  const user = requireUser(state, name)
  if (role !== rootName) requireRole(state, role)
  if (user.roles.includes(role)) return state
  return withUser(state, { ...user, roles: [...user.roles, role].sort(compareText) })
}

export function revokeRole(state: AuthState, name: string, role: string): AuthState {
  if (state.isEnabled && name === rootName && role === rootName) {
    throw new EtcdRefusal(etcdErrors.invalidManagement)
  }
  const user = requireUser(state, name)
  const roles = user.roles.filter((held) => held !== role)
  if (roles.length === user.roles.length) throw new EtcdRefusal(etcdErrors.roleNotGranted)
  return withUser(state, { ...user, roles })
}

export function addRole(state: AuthState, name: string): AuthState {
  if (name === '') throw new EtcdRefusal(etcdErrors.roleEmpty)
  if (findRole(state, name) !== undefined) throw new EtcdRefusal(etcdErrors.roleExists)
  return changed({ ...state, roles: sorted([...state.roles, { name, permissions: [] }]) })
}

/** Users lose it too. */
export function removeRole(state: AuthState, name: string): AuthState {
  if (state.isEnabled && name === rootName) throw new EtcdRefusal(etcdErrors.invalidManagement)
  requireRole(state, name)
  const roles = state.roles.filter((role) => role.name !== name)
  const users = state.users.map((user) =>
    user.roles.includes(name)
      ? { ...user, roles: user.roles.filter((held) => held !== name) }
      : user,
  )
  return changed({ ...state, roles, users })
}

/** Another permission for the very same range takes the place of the old one. */
export function grantPermission(
  state: AuthState,
  name: string,
  permission: AuthPermission | undefined,
): AuthState {
  if (permission === undefined) throw new EtcdRefusal(etcdErrors.permissionNotGiven)
  if (!isRange(permission)) throw new EtcdRefusal(etcdErrors.invalidManagement)
  const role = requireRole(state, name)
  const others = role.permissions.filter((known) => !isSameRange(known, permission))
  const permissions = [...others, permission].sort((a, b) => compareBytes(a.key, b.key))
  return withRole(state, { name, permissions })
}

export function revokePermission(
  state: AuthState,
  name: string,
  range: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
): AuthState {
  const role = requireRole(state, name)
  const permissions = role.permissions.filter((known) => !isSameRange(known, range))
  if (permissions.length === role.permissions.length) {
    throw new EtcdRefusal(etcdErrors.permissionNotGranted)
  }
  return withRole(state, { name, permissions })
}

export function requireUser(state: AuthState, name: string): AuthUser {
  const user = findUser(state, name)
  if (user === undefined) throw new EtcdRefusal(etcdErrors.userNotFound)
  return user
}

export function requireRole(state: AuthState, name: string): AuthRole {
  const role = findRole(state, name)
  if (role === undefined) throw new EtcdRefusal(etcdErrors.roleNotFound)
  return role
}

function changed(state: AuthState): AuthState {
  return { ...state, revision: state.revision + 1 }
}

function withUser(state: AuthState, user: AuthUser): AuthState {
  const users = state.users.map((known) => (known.name === user.name ? user : known))
  return changed({ ...state, users })
}

function withRole(state: AuthState, role: AuthRole): AuthState {
  const roles = state.roles.map((known) => (known.name === role.name ? role : known))
  return changed({ ...state, roles })
}

function sorted<T extends { readonly name: string }>(all: readonly T[]): readonly T[] {
  return [...all].sort((a, b) => compareText(a.name, b.name))
}

function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function isSameRange(
  a: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
  b: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
): boolean {
  return equalBytes(a.key, b.key) && equalBytes(a.rangeEnd, b.rangeEnd)
}

function isRange({ kind, key, rangeEnd }: AuthPermission): boolean {
  if (key.length === 0 || kind < 0 || kind >= permissionKinds.length) return false
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return rangeEnd.length === 0 || isOpen || compareBytes(key, rangeEnd) < 0
}
