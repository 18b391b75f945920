// What a statement may do, by the codes with which SQLite's authorizer asks (https://sqlite.org/c3ref/c_alter_table.html).
// Refused is what would differ between replicas, leave the database's file, or end the transaction that a batch is; each with
// the reason that its author reads.

/** Tables that the engine keeps for itself begin with this. */
export const ownPrefix = '_atoll_'

const action = {
  dropTable: 11,
  createTable: 2,
  createTempFrom: 3,
  createTempTo: 6,
  dropTempFrom: 12,
  dropTempTo: 15,
  delete: 9,
  insert: 18,
  pragma: 19,
  read: 20,
  select: 21,
  transaction: 22,
  update: 23,
  attach: 24,
  detach: 25,
  alterTable: 26,
  analyze: 28,
  createVirtualTable: 29,
  function: 31,
  savepoint: 32,
  recursive: 33,
} as const

/** A table may get rows or other rows by it. */
export const writingCodes: ReadonlySet<number> = new Set([action.insert, action.update])

/** They ask what is; those with a value write what is in the file. */
const pragmas = new Set([
  'application_id',
  'collation_list',
  'compile_options',
  'data_version',
  'database_list',
  'encoding',
  'foreign_key_check',
  'foreign_key_list',
  'function_list',
  'index_info',
  'index_list',
  'index_xinfo',
  'integrity_check',
  'page_count',
  'quick_check',
  'schema_version',
  'table_info',
  'table_list',
  'table_xinfo',
  'user_version',
])
const writtenPragmas = new Set(['application_id', 'user_version'])
/** Those of which a value is a table's or an index's name, or a count. */
const askingPragmas = /^(foreign_key_|index_|table_|integrity_|quick_)/

const functions: Readonly<Record<string, string>> = {
  load_extension: 'extensions are not loaded: replicas must run the same code',
  readfile: 'files of a node are not part of a database',
  writefile: 'files of a node are not part of a database',
  edit: 'programs of a node are not part of a database',
  fts3_tokenizer: 'code by its address is never loaded',
  total_changes: 'total_changes() counts a connection, which differs between replicas',
  sqlite_offset: 'places in the file differ between replicas',
}
const virtualTables = new Set(['fts5', 'fts5vocab', 'rtree', 'rtree_i32'])
const readOnly = new Set<number>([action.read, action.select, action.function, action.recursive])

export type Access = {
  readonly code: number
  /** What the authorizer is told of it; '' for what is absent. */
  readonly first: string
  readonly second: string
  readonly database: string
  /** Within a transaction of somebody who asks one statement after the other. */
  readonly isInteractive: boolean
}

/** Why not; undefined when it may. `isReader`: nothing may change. */
export function refusalOf(access: Access, isReader: boolean): string | undefined {
  const { code, first, second } = access
  if (code === action.attach) return 'ATTACH would leave the database that is replicated'
  if (code === action.detach) return 'DETACH: nothing is attached'
  if (code === action.transaction) {
    return `${first} is not available: a batch is a transaction by itself`
  }
  if (code === action.savepoint) return refusalOfSavepoint(access)
  if (code === action.pragma) return refusalOfPragma(first.toLowerCase(), second, isReader)
  if (code === action.function) return functions[second.toLowerCase()]
  if (isTemporary(access)) return 'temporary objects belong to a connection, not to the database'
  if (isReader && !readOnly.has(code)) return 'a query may not change anything'
  if (code === action.createVirtualTable && !virtualTables.has(second.toLowerCase())) {
    return `tables by module ${second} are not available: fts5 and rtree are`
  }
  if (isOwn(access)) return `names that begin with ${ownPrefix} are kept for the database itself`
  return undefined
}

function refusalOfSavepoint({ second, isInteractive }: Access): string | undefined {
  if (!isInteractive) return 'savepoints are not available: a batch is a transaction by itself'
  if (!second.toLowerCase().startsWith(ownPrefix)) return undefined
  return `names that begin with ${ownPrefix} are kept for the database itself`
}

function refusalOfPragma(name: string, value: string, isReader: boolean): string | undefined {
  if (!pragmas.has(name)) {
    return `PRAGMA ${name} is not available: it would differ between replicas or break the file`
  }
  if (value === '' || askingPragmas.test(name)) return undefined
  if (isReader) return 'a query may not change anything'
  return writtenPragmas.has(name) ? undefined : `PRAGMA ${name} can be asked, not set`
}

function isTemporary({ code, database }: Access): boolean {
  if (code >= action.createTempFrom && code <= action.createTempTo) return true
  if (code >= action.dropTempFrom && code <= action.dropTempTo) return true
  return database === 'temp' && (code === action.insert || code === action.createTable)
}

/** Of tables that a statement names; what it says of sqlite_schema is the engine's own affair. */
function isOwn({ code, first, second }: Access): boolean {
  if (code === action.analyze) return false
  const isNamed = (name: string): boolean => name.toLowerCase().startsWith(ownPrefix)
  if (code === action.alterTable) return isNamed(second)
  return code !== action.select && isNamed(first)
}
