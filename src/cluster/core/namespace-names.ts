// Names of users' namespaces: those under /raft/, apart from those that the product keeps for itself.

import { checkNamespaceName, Fault } from '../../base/index.ts'

/** The product's own, with everything below. */
const reserved = ['/raft/system', '/raft/objects', '/raft/etcd', '/raft/sql', '/raft/v1']

/** Fault 'invalid' for a malformed name, 'denied' for one of the product's own. */
export function checkUserNamespace(name: string): void {
  checkNamespaceName(name)
  if (reserved.some((own) => name === own || name.startsWith(`${own}/`))) {
    throw new Fault('denied', `${name} is kept for the cluster itself`, {
      next: 'choose another one',
    })
  }
}

const databaseName = /^\/raft\/sql\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/

/** Fault 'invalid' for what is not the namespace of a SQL database. */
export function checkSqlDatabase(name: string): void {
  if (databaseName.test(name) && !name.endsWith('/transport')) return
  throw new Fault('invalid', `'${name.slice(0, 64)}' is not the name of a SQL database`, {
    next: 'name it with at most 64 letters, digits, dots, underscores and hyphens',
  })
}
