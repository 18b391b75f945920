export { createLaneDatabases, type LaneDatabases } from './lane-client.ts'
export { serveSqlLane, type ServedDatabases } from './lane-server.ts'
export { makeBatchId } from './core/entry.ts'
export { splitStatements } from './core/statement-texts.ts'
export { firstWord, firstWords } from './core/words.ts'
export { createSqlDatabases, type DatabaseOptions, type SqlDatabases } from './databases.ts'
export type {
  ExecuteAnswer,
  ExecuteOptions,
  LocalDatabase,
  QueryOptions,
  ReadLevel,
  SqlDatabase,
  SqlReplica,
  SqlResult,
  SqlStatement,
  SqlStatus,
  SqlTransaction,
  SqlValue,
  TransactionOptions,
} from './sql.ts'
