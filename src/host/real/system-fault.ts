// Errors of the operating system as Faults. What the table does not know is 'internal' with its cause.

import { Fault, type FaultCode, isFault } from '../../base/index.ts'

const codes: Readonly<Record<string, FaultCode>> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EACCES: 'denied',
  EPERM: 'denied',
  EMFILE: 'overloaded',
  ENFILE: 'overloaded',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  ECONNABORTED: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  ETIMEDOUT: 'unavailable',
  EPIPE: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EADDRNOTAVAIL: 'unavailable',
}

/** The system's own name of an error ('ENOENT'), or '' when it has none. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** `doing` words the attempt: 'cannot open a/b'. A Fault passes as it is. */
export function systemFault(error: unknown, doing: string): Fault {
  if (isFault(error)) return error
  const code = errorCode(error)
  const what = error instanceof Error ? error.message : String(error)
  return new Fault(codes[code] ?? 'internal', `${doing}: ${what}`, {
    cause: error,
    ...(code === '' ? {} : { fields: { system: code } }),
  })
}

/** A failed sync: the kernel may have dropped the pages, so the node must stop (law 12). */
export function syncFault(error: unknown, path: string): Fault {
  const what = error instanceof Error ? error.message : String(error)
  return new Fault('internal', `cannot sync ${path}: ${what}`, {
    cause: error,
    outcome: 'unknown',
    fields: { fatal: 'sync', system: errorCode(error) },
  })
}

/** An address that cannot be listened on; a taken one is 'exists' and names the port. */
export function listenFault(error: unknown, host: string, port: number): Fault {
  if (errorCode(error) !== 'EADDRINUSE')
    return systemFault(error, `cannot listen on ${host}:${port}`)
  return new Fault('exists', `port ${port} on ${host} is taken by another program`, {
    cause: error,
    fields: { port: String(port), host },
    next: 'stop that program or choose another port',
  })
}
