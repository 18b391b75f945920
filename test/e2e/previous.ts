// The program of the release before, out of the repository's history, beside this one: its sources in a directory of their
// own, with this one's packages.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './cluster.ts'

export type Previous =
  | { readonly kind: 'program'; readonly name: string; readonly path: string; remove(): void }
  /** Why there is none. */
  | { readonly kind: 'none'; readonly reason: string }

/**
 * ATOLL_PREVIOUS names it (a tag or commit); otherwise it is the newest tag before this commit, or the commit that package.json
 * calls `previousRelease`.
 */
export function findPrevious(): Previous {
  if (git('rev-parse', '--git-dir') === undefined) return none('this is no clone of the repository')
  const name = process.env.ATOLL_PREVIOUS ?? newestTag() ?? namedRelease()
  if (name === undefined) return none('no earlier release has a tag, and package.json names none')
  const commit = git('rev-parse', '--verify', '--quiet', `${name}^{commit}`)
  if (commit === undefined) return none(`${name} is not in this clone: it may be a shallow one`)
  if (!existsSync(join(root, 'node_modules'))) return none('the packages are not installed')
  const path = mkdtempSync(join(tmpdir(), 'atoll-previous-'))
  const remove = (): void => rmSync(path, { recursive: true, force: true })
  const command = `git archive ${commit} | tar -x -C '${path}'`
  const unpacked = spawnSync('bash', ['-o', 'pipefail', '-c', command], { cwd: root })
  if (unpacked.status !== 0) {
    remove()
    throw new Error(`${commit} cannot be unpacked: ${unpacked.stderr}`)
  }
  symlinkSync(join(root, 'node_modules'), join(path, 'node_modules'))
  return { kind: 'program', name: `${name} (${commit.slice(0, 7)})`, path, remove }
}

/** Of a commit that has the tag itself, the one before. */
function newestTag(): string | undefined {
  const newest = git('describe', '--tags', '--abbrev=0')
  if (newest === undefined) return undefined
  if (git('rev-parse', `${newest}^{commit}`) !== git('rev-parse', 'HEAD')) return newest
  return git('describe', '--tags', '--abbrev=0', `${newest}^`)
}

function namedRelease(): string | undefined {
  const packed = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly previousRelease?: string
  }
  return packed.previousRelease
}

function none(reason: string): Previous {
  return { kind: 'none', reason }
}

function git(...args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}
