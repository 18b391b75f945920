export { makeBatchId } from './core/entry.ts'
export { createSqlDatabases, type DatabaseOptions, type SqlDatabases } from './databases.ts'
export type {
  ExecuteAnswer,
  ExecuteOptions,
  QueryOptions,
  ReadLevel,
  SqlDatabase,
  SqlReplica,
  SqlResult,
  SqlStatement,
  SqlStatus,
  SqlValue,
} from './sql.ts'
