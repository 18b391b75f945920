// The SQL port on the data thread: its gateway over the databases that the core keeps. The room `sql` and the gateway are
// loaded with the port.

import type { Access } from '../access/index.ts'
import type { Address, Host, HttpHandler, Port } from '../host/index.ts'
import type { NodeConfig } from './config.ts'
import type { Gateway } from './services.ts'
import type { ShownCredentials } from './shown.ts'

export type SqlParts = {
  readonly config: NodeConfig
  readonly sql: Address
  /** To the core. */
  readonly sqlPort: Port
  readonly access: Access
  readonly shown: ShownCredentials
}

/** None where the node was given no port for it. */
export function sqlGateways(host: Host, parts: Omit<SqlParts, 'sql'>): readonly Gateway[] {
  const { sql } = parts.config.listen
  if (sql === undefined) return []
  // One however often it is served: the port to the core has one reader.
  let handler: Promise<HttpHandler> | undefined
  const start = async (): Promise<() => Promise<void>> => {
    handler ??= openHandler(host, parts)
    return await serve(host, { ...parts, sql }, await handler)
  }
  return [{ name: 'sql', start }]
}

async function openHandler(
  host: Host,
  { sqlPort, access }: Omit<SqlParts, 'sql'>,
): Promise<HttpHandler> {
  const [{ createLaneDatabases }, { createSqlHandler }] = await Promise.all([
    import('../sql/index.ts'),
    import('../gateways/sql/handler.ts'),
  ])
  return createSqlHandler({ host, access, databases: createLaneDatabases(host, sqlPort) })
}

async function serve(
  host: Host,
  { config, sql, shown }: SqlParts,
  handler: HttpHandler,
): Promise<() => Promise<void>> {
  const isTls = config.isSqlTls === true
  const server = { handler, ...(isTls ? { tls: config.serverTls } : {}) }
  const listener = await host.http.serve(sql, server)
  const forget = isTls
    ? shown.add(({ serverTls }) => listener.replaceTls(serverTls))
    : () => undefined
  return async () => {
    forget()
    await listener.close()
  }
}
