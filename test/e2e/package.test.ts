// The Debian package on a Debian of its own: installed without a network, npm or Node, it runs a node as its own user;
// removed, it leaves the data. Needs root and debootstrap, which fetches that Debian from where this machine's own
// packages come from.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { root, run } from './cluster.ts'

const portOffset = 8_300
const dataDir = '/var/lib/atoll'
const work = mkdtempSync(join(tmpdir(), 'atoll-package-'))
const system = join(work, 'root')
after(() => rmSync(work, { recursive: true, force: true }))

test('the Debian package installs on a bare Debian, stores a file, and leaves data behind', async (t) => {
  const reason = whyNot()
  if (reason !== undefined) {
    t.skip(reason)
    return
  }
  const built = await run(process.execPath, [
    join(root, 'tools/package/deb.ts'),
    ...['--out', work],
  ])
  assert.equal(built.status, 0, built.stderr)
  const file = built.stdout.trim()
  const described = spawnSync('dpkg-deb', ['--info', file], { encoding: 'utf8' })
  assert.match(described.stdout, /Package: atoll\n/)

  const made = await run('debootstrap', ['--variant=minbase', suite(), system, mirror() ?? ''])
  if (made.status !== 0) {
    t.skip(`debootstrap cannot fetch a Debian here: ${made.stdout.trim().split('\n').at(-1)}`)
    return
  }
  copyFileSync(file, join(system, basename(file)))
  const installed = inside(['dpkg', '--install', `/${basename(file)}`])
  assert.equal(installed.status, 0, installed.stderr)
  assert.equal(inside(['stat', '-c', '%U %a', '/var/lib/atoll']).stdout, 'atoll 700\n')

  await storeOneFile()

  assert.equal(inside(['dpkg', '--purge', 'atoll']).status, 0)
  assert.ok(!existsSync(join(system, 'usr/lib/atoll')), readdirSync(join(system, 'usr/lib')).join())
  assert.ok(existsSync(join(system, dataDir, 'distributed')), 'the data is left')
})

/** A cluster of one as an administrator makes it, run by the package's user; its /proc ends with it. */
async function storeOneFile(): Promise<void> {
  const init = ['atoll', 'admin', 'init', '--region', 'eu', '--az', 'a', '--node', 'one']
  const where = ['--bind', '127.0.2.1', '--data-dir', dataDir]
  const made = inNamespace([...init, ...where, '--json', '--port-offset', String(portOffset)])
  const ended = new Promise<string>((resolve) => made.on('close', resolve))
  let said = ''
  made.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await ended
  try {
    const line = JSON.parse(said.trim().split('\n').at(-1) ?? '')
    const client = new S3Client({
      endpoint: line.s3,
      region: 'eu',
      forcePathStyle: true,
      credentials: { accessKeyId: line.accessKeyId, secretAccessKey: line.secretAccessKey },
    })
    const name = { Bucket: 'predastore', Key: 'a file' }
    await client.send(new PutObjectCommand({ ...name, Body: 'from a package' }))
    const { Body } = await client.send(new GetObjectCommand(name))
    assert.equal(await Body?.transformToString(), 'from a package')
    client.destroy()
    const owner = inside(['stat', '-c', '%U', `${dataDir}/identity/node-key.pem`])
    assert.equal(owner.stdout, 'atoll\n')
  } finally {
    await new Promise((resolve) =>
      inNamespace(['atoll', 'stop', '--data-dir', dataDir]).on('close', resolve),
    )
  }
}

function inNamespace(command: readonly string[]) {
  const script = `mount -t proc proc "${system}/proc" && exec chroot "${system}" ${command.join(' ')}`
  return spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
}

function inside(command: readonly string[]) {
  return spawnSync('chroot', [system, ...command], { encoding: 'utf8' })
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux'
  if (process.getuid?.() !== 0) return 'needs root'
  for (const tool of ['debootstrap', 'dpkg-deb', 'unshare', 'chroot']) {
    if (spawnSync('which', [tool]).status !== 0) return `${tool} is not installed`
  }
  return mirror() === undefined ? 'this machine has no sources of Debian packages' : undefined
}

function mirror(): string | undefined {
  const files = ['/etc/apt/sources.list', ...globSync('/etc/apt/sources.list.d/*')]
  const lines = files.filter(existsSync).flatMap((file) => readFileSync(file, 'utf8').split('\n'))
  const found = lines.map(
    (line) => /^(?:URIs:|deb\s+(?:\[[^\]]*\])?)\s*(https?:\S+)/.exec(line)?.[1],
  )
  return found.find((url) => url !== undefined && /debian\/?$/.test(url))
}

function suite(): string {
  const release = readFileSync('/etc/os-release', 'utf8')
  const name = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1]
  return /^ID=debian$/m.test(release) && name !== undefined ? name : 'bookworm'
}
