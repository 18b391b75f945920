// Which installed packages the program needs to run: the closure of its dependencies in the lock file, and the packaged
// Node of this platform. Tools for building and checking stay out.

type Locked = {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}
export type LockFile = { readonly packages: Readonly<Record<string, Locked>> }
type Platform = { readonly os: string; readonly cpu: string }

/** Paths in the lock file ('node_modules/saxes'), sorted. Throws for a dependency that the file does not have. */
export function packagesOf({ packages }: LockFile, platform: Platform): readonly string[] {
  const top = packages[''] ?? {}
  const nodeName = `node-${platform.os}-${platform.cpu}`
  const found = new Set<string>()
  const waiting: { readonly name: string; readonly from: string; readonly isOptional: boolean }[] =
    []
  const want = (from: string, names: object = {}, isOptional = false): void => {
    for (const name of Object.keys(names)) waiting.push({ name, from, isOptional })
  }
  want('', top.dependencies)
  want('', { [nodeName]: '' })
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { name, from, isOptional } = next
    const path = resolvePackage(packages, name, from)
    const locked = path === undefined ? undefined : packages[path]
    if (path === undefined || locked === undefined) {
      if (isOptional) continue
      throw new Error(`the lock file has no ${name}, which ${from || 'the program'} needs`)
    }
    if (!fits(locked, platform) || found.has(path)) continue
    found.add(path)
    want(path, locked.dependencies)
    want(path, locked.optionalDependencies, true)
  }
  return [...found].sort()
}

/** As Node looks for it: in the dependent's own node_modules, then in those above. */
function resolvePackage(
  packages: LockFile['packages'],
  name: string,
  from: string,
): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (at === '') return undefined
  }
}

function fits({ os, cpu, libc }: Locked, platform: Platform): boolean {
  const isListed = (list: readonly string[] | undefined, value: string): boolean =>
    list === undefined || list.includes(value)
  return isListed(os, platform.os) && isListed(cpu, platform.cpu) && isListed(libc, 'glibc')
}
