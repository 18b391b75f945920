export type {
  ExecuteAnswer,
  ExecuteOptions,
  QueryOptions,
  ReadLevel,
  SqlDatabase,
  SqlResult,
  SqlStatement,
  SqlStatus,
  SqlValue,
} from './sql.ts'
export { makeBatchId } from './core/entry.ts'
