// Names of users' namespaces: paths under /raft/, apart from those that the product keeps for itself.

import { Fault } from '../../base/index.ts'

const nameBytesMax = 255
/** The product's own, with everything below. */
const reserved = ['/raft/system', '/raft/objects', '/raft/etcd', '/raft/sql', '/raft/v1']

/** Fault 'invalid' for a malformed name, 'denied' for one of the product's own. */
export function checkUserNamespace(name: string): void {
  const shown = name.slice(0, 64)
  const next = 'name it like /raft/cron: parts of letters, digits, dot, underscore and hyphen'
  const parts = name.split('/')
  const isPath = parts
    .slice(1)
    .every((part) => /^[A-Za-z0-9._-]+$/.test(part) && !/^\.+$/.test(part))
  if (!name.startsWith('/raft/') || !isPath || name.length > nameBytesMax) {
    throw new Fault('invalid', `'${shown}' is not the name of a namespace`, { next })
  }
  // The API of one namespace must not have the name of another one's transport.
  if (parts.at(-1) === 'transport') {
    throw new Fault('invalid', `a namespace does not end in /transport, unlike '${shown}'`, {
      next,
    })
  }
  if (reserved.some((own) => name === own || name.startsWith(`${own}/`))) {
    throw new Fault('denied', `${shown} is kept for the cluster itself`, { next })
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
