// What a node runs besides the core: capabilities are names in its member record ('control', 's3', 'etcd'). A node without
// a list has them all, so that small clusters need none.

export function hasCapability(caps: readonly string[], name: string): boolean {
  return caps.length === 0 || caps.includes(name)
}
