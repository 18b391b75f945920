// npm run deb -- [--out DIR]
//
// A Debian package of this checkout with everything it needs to run, Node 24 included: one file that installs on a
// machine without npm or a network. Made without Debian's tools: an archive of ar(5) with a version, the control
// files and the data, as deb(5) says. The same sources give the same bytes (times are the last commit's).
//
//   /usr/bin/atoll, /usr/lib/atoll (sources and packages), /usr/lib/systemd/system/atoll.service, /usr/share/doc/atoll
//
// Removing or purging the package leaves /var/lib/atoll: it may be somebody's only copy.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import {
  renderUnit,
  unitCacheDir,
  unitDataDir,
  unitName,
  unitUser,
} from '../../src/cli/systemd-unit.ts'
import { type TarEntry, tarOf } from '../../src/cli/tar.ts'
import { root } from '../steps.ts'
import { isHelpGiven } from '../usage.ts'
import { packagesOf } from './packages.ts'
import { afterInstall, afterRemove, beforeRemove } from './scripts.ts'

const home = 'usr/lib/atoll'
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const maintainer = 'Atoll <maintainers@atoll.invalid>'

type Facts = {
  readonly version: string
  readonly architecture: string
  readonly modifiedSeconds: number
}

if (import.meta.main && !isHelpGiven(import.meta.filename)) {
  const { values } = parseArgs({ options: { out: { type: 'string', default: '.' } } })
  const architecture = architectures[process.arch]
  if (architecture === undefined) throw new Error(`no packages for ${process.arch}`)
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const facts: Facts = { version, architecture, modifiedSeconds: commitSeconds() }
  console.error('deb: collecting files ...')
  const entries = dataEntries(facts)
  console.error(`deb: packing ${entries.length} files, about ten seconds ...`)
  const bytes = packageOf(entries, facts)
  mkdirSync(values.out, { recursive: true })
  const path = join(values.out, `atoll_${version}_${architecture}.deb`)
  writeFileSync(path, bytes)
  console.log(path)
}

function packageOf(entries: readonly TarEntry[], facts: Facts): Uint8Array {
  const control = gzipSync(joined(tarOf(controlEntries(entries, facts))))
  const contents = gzipSync(joined(tarOf(entries)), { level: 6 })
  const member = (name: string, bytes: Uint8Array): readonly Uint8Array[] => [
    arHeader(name, bytes.length, facts.modifiedSeconds),
    bytes,
    Buffer.from(bytes.length % 2 === 0 ? '' : '\n'),
  ]
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    ...member('debian-binary', Buffer.from('2.0\n')),
    ...member('control.tar.gz', control),
    ...member('data.tar.gz', contents),
  ])
}

/** Name 16, time 12, owner 6, group 6, mode 8, size 10, and two closing bytes. */
function arHeader(name: string, bytes: number, modifiedSeconds: number): Uint8Array {
  const fields = [name.padEnd(16), String(modifiedSeconds).padEnd(12), '0'.padEnd(6), '0'.padEnd(6)]
  return Buffer.from(`${fields.join('')}${'100644'.padEnd(8)}${String(bytes).padEnd(10)}\`\n`)
}

function joined(parts: Iterable<Uint8Array>): Uint8Array {
  return Buffer.concat([...parts])
}

/** What lies where on the machine: directories before what is in them. */
function dataEntries(facts: Facts): readonly TarEntry[] {
  const { modifiedSeconds } = facts
  const files = new Map<string, TarEntry>()
  const add = (path: string, bytes: Uint8Array, mode = 0o644): void => {
    files.set(path, { kind: 'file', path, mode, modifiedSeconds, bytes })
  }
  const copy = (relative: string): void => {
    const from = join(root, relative)
    const { mode } = lstatSync(from)
    const path = `${home}/${relative}`
    if (lstatSync(from).isSymbolicLink()) {
      files.set(path, {
        ...{ kind: 'link', path, mode: 0o777, modifiedSeconds },
        target: readlinkSync(from),
      })
    } else add(path, readFileSync(from), (mode & 0o111) === 0 ? 0o644 : 0o755)
  }
  for (const relative of ownFiles()) copy(relative)
  for (const relative of packageFiles()) copy(relative)
  add('usr/bin/atoll', Buffer.from(launcher()), 0o755)
  add(`usr/lib/systemd/system/${unitName}`, Buffer.from(unit()))
  for (const name of ['README.md', 'CHANGELOG.md']) {
    add(`usr/share/doc/atoll/${name}`, readFileSync(join(root, name)))
  }
  add('usr/share/doc/atoll/copyright', readFileSync(join(root, 'LICENSE')))
  const sorted = [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  return [...directoriesOf(sorted, modifiedSeconds), ...sorted]
}

/** What git knows of the folders that run: no tests, no tools. */
function ownFiles(): readonly string[] {
  const kinds = ['--cached', '--others', '--exclude-standard']
  const listed = spawnSync('git', ['ls-files', '-z', ...kinds, 'src', 'scripts', 'package.json'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (listed.status !== 0) throw new Error(`git ls-files failed: ${listed.stderr}`)
  const isRun = (path: string): boolean =>
    path !== '' && !/\.test\.ts$|\/testing\/|\/testdata\/|\.md$/.test(path)
  return [...listed.stdout.split('\0').filter(isRun), ...consolePages(), 'package-lock.json']
}

/** The bundle alone: the machine that it is installed on has nothing to make it with. */
function consolePages(): readonly string[] {
  const pages = globSync('console/dist/*', { cwd: root })
  if (pages.length === 0) throw new Error('the pages of the console are not made: npm run console')
  return pages
}

function packageFiles(): readonly string[] {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const wanted = packagesOf(JSON.parse(lock), { os: process.platform, cpu: process.arch })
  const files = wanted.flatMap((path) => {
    if (!existsSync(join(root, path))) throw new Error(`${path} is not installed: npm ci`)
    return globSync(`${path}/**/*`, { cwd: root, exclude: (name) => name.includes('.cache') })
  })
  const isKept = (path: string): boolean =>
    !lstatSync(join(root, path)).isDirectory() &&
    !/\.(md|map|d\.[cm]?ts)$|\/node-[^/]+\/include\//.test(path)
  // Its time tells the launcher that the packages are those of the lock file.
  return [...files.filter(isKept), 'node_modules/.package-lock.json']
}

function directoriesOf(files: readonly TarEntry[], modifiedSeconds: number): readonly TarEntry[] {
  const paths = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/').slice(0, -1)
    for (let at = 1; at <= parts.length; at++) paths.add(parts.slice(0, at).join('/'))
  }
  return [...paths]
    .sort()
    .map((path) => ({ kind: 'directory', path, mode: 0o755, modifiedSeconds }))
}

/** Compiled sources are cached where the service's user may write; root never loads what that user wrote. */
function launcher(): string {
  const node = `/${home}/node_modules/node-${process.platform}-${process.arch}/bin/node`
  return `#!/bin/sh
if [ "$(id -u)" = 0 ]; then
  export NODE_DISABLE_COMPILE_CACHE=1
else
  export NODE_COMPILE_CACHE="\${NODE_COMPILE_CACHE:-${unitCacheDir}}"
fi
exec ${node} /${home}/scripts/atoll.mjs "$@"
`
}

function unit(): string {
  return renderUnit({
    command: ['/usr/bin/atoll'],
    dataDir: unitDataDir,
    user: unitUser,
  })
}

function controlEntries(data: readonly TarEntry[], facts: Facts): readonly TarEntry[] {
  const { version, architecture, modifiedSeconds } = facts
  const bytes = data.reduce(
    (sum, entry) => sum + (entry.kind === 'file' ? entry.bytes.length : 0),
    0,
  )
  const control = `Package: atoll
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(bytes / 1024)}
Depends: libc6, libstdc++6, passwd
Section: net
Priority: optional
Description: a few ordinary machines become one cloud
 S3 object storage, consensus key-value with etcd's API and cluster life,
 from one program. A node that belongs to no cluster yet waits for one:
 atoll admin init, atoll admin join, or its setup page on port 7777.
`
  const sums = data
    .filter((entry) => entry.kind === 'file')
    .map(
      ({ path, bytes: content }) => `${createHash('md5').update(content).digest('hex')}  ${path}\n`,
    )
  const file = (path: string, text: string, mode = 0o644): TarEntry => ({
    ...{ kind: 'file', path, mode, modifiedSeconds },
    bytes: Buffer.from(text),
  })
  return [
    file('control', control),
    file('md5sums', sums.join('')),
    file('postinst', afterInstall, 0o755),
    file('prerm', beforeRemove, 0o755),
    file('postrm', afterRemove, 0o755),
  ]
}

function commitSeconds(): number {
  const shown = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' })
  if (shown.status !== 0) throw new Error(`git log failed: ${shown.stderr}`)
  return Number(shown.stdout.trim())
}
