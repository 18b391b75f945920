// Where in a TOML text a key stands, for messages that name the line. The TOML parser gives values
// without positions; this follows tables and arrays of tables line by line.
//
// It knows headers and `key = value` lines, which is what configuration files of ours consist of. For
// anything else (dotted keys, inline tables) it answers the line of the nearest enclosing header.

export type TomlPath = readonly (string | number)[]

/** 1-based; the nearest enclosing table's line when the key itself is not there; 1 for the root. */
export function lineOf(text: string, path: TomlPath): number {
  const wanted = pathKey(path)
  const counts = new Map<string, number>()
  const lines = text.split('\n')
  let table: TomlPath = []
  let best = { line: 1, depth: 0 }
  for (const [at, raw] of lines.entries()) {
    const line = raw.trim()
    const found = tableOf(line, counts)
    if (found !== undefined) table = found
    const key = found === undefined ? keyOf(line) : undefined
    if (found === undefined && key === undefined) continue
    const here = key === undefined ? table : [...table, key]
    if (pathKey(here) === wanted) return at + 1
    if (here.length > best.depth && isPrefix(here, path))
      best = { line: at + 1, depth: here.length }
  }
  return best.line
}

function pathKey(path: TomlPath): string {
  return JSON.stringify(path)
}

function isPrefix(prefix: TomlPath, path: TomlPath): boolean {
  return prefix.length <= path.length && prefix.every((part, at) => part === path[at])
}

function tableOf(line: string, counts: Map<string, number>): TomlPath | undefined {
  const array = /^\[\[\s*([^\]]+?)\s*\]\]/.exec(line)?.[1]
  if (array !== undefined) {
    const index = counts.get(array) ?? 0
    counts.set(array, index + 1)
    return [...splitName(array), index]
  }
  const table = /^\[\s*([^[\]]+?)\s*\]/.exec(line)?.[1]
  return table === undefined ? undefined : splitName(table)
}

function splitName(name: string): string[] {
  return name.split('.').map((part) => unquote(part.trim()))
}

function keyOf(line: string): string | undefined {
  const key = /^("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=/.exec(line)?.[1]
  return key === undefined ? undefined : unquote(key)
}

function unquote(text: string): string {
  return text.replace(/^(["'])(.*)\1$/, '$2')
}
