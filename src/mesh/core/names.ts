// Names of the mesh: a namespace is text under /raft/, and everything of its group follows from it.
//
//   namespace          /raft/cron
//   command API        /raft/v1/raft/cron               rpc method meshCommand; the name travels in the request
//   consensus          /raft/v1/raft/cron/transport     rpc methods raftMessages, raftSnapshot, raftPulse, by group id
//   storage            /raft/cron/log/, /stable/, /data/  the shared log and store, by group id (DESIGN.md)
//   group id           52 bits of SHA-256 of the namespace, never one of the first 2^20, which are a node's own
//
// What may be one is said in base (namespace-name.ts).

import {
  checkNamespaceName,
  Fault,
  type GroupId,
  groupId,
  sha256,
  utf8Encode,
} from '../../base/index.ts'

const reservedGroups = 2 ** 20
const prefix = '/raft/v1'

/** The number of the namespace's group on every node. Two names with one number are refused at open. */
export function groupOf(namespace: string): GroupId {
  const digest = sha256(utf8Encode(`atoll group\0${namespace}`))
  const view = new DataView(digest.buffer, digest.byteOffset)
  const number = (view.getUint32(0) >>> 12) * 0x1_0000_0000 + view.getUint32(4)
  return groupId(number < reservedGroups ? number + reservedGroups : number)
}

/** The name of the namespace's command API. */
export function apiName(namespace: string): string {
  return `${prefix}${namespace}`
}

/** The name of the namespace's consensus transport. */
export function transportName(namespace: string): string {
  return `${prefix}${namespace}/transport`
}

/** The namespace of a command API. Fault 'invalid' for any other name. */
export function namespaceOfApi(name: string): string {
  if (!name.startsWith(`${prefix}/`)) {
    throw new Fault('invalid', `'${name.slice(0, 64)}' is not the name of a command API`)
  }
  const namespace = name.slice(prefix.length)
  checkNamespaceName(namespace)
  return namespace
}
