import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { isFault } from '../base/index.ts'
import { renderUnit } from './systemd-unit.ts'
import { bundle } from './support-bundle.ts'
import { type TarEntry, tarOf } from './tar.ts'

const dir = mkdtempSync(join(tmpdir(), 'atoll-support-test-'))
after(() => rmSync(dir, { recursive: true, force: true }))

const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(dir, path)), { recursive: true })
  writeFileSync(join(dir, path), text)
}

test('a bundle carries settings and journals, and no secret of the directory, wherever it stands', async () => {
  const secrets = {
    accessKey: 'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY/1',
    token: 'tok-8f3b2c91d0',
    pem: 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg',
    password: 'open sesame "now"',
    join: 'at1.ABC123.SECRETSECRET.PINPIN',
  }
  put('cl/cluster.toml', `[[auth]]\nsecret_access_key = "${secrets.accessKey}"\n`)
  put('cl/ca/admin-token', `${secrets.token}\n`)
  put('cl/node-1/node.toml', '[listen]\nadmin = 7777\n')
  put('cl/node-1/bootstrap.json', JSON.stringify({ name: 'n', join_token: secrets.join }))
  put('cl/node-1/predastore.toml', `password = ${JSON.stringify(secrets.password)}\n`)
  const pem = `-----BEGIN PRIVATE KEY-----\n${secrets.pem}\n-----END PRIVATE KEY-----\n`
  put('cl/node-1/identity/node-key.pem', pem)
  const said = Object.values(secrets).map((secret) => `10:00 node 1 notice x said=${secret} end\n`)
  put('cl/node-1/node.log', `${said.join('')}10:01 node 1 notice raft.leader_elected\n`)
  const out = join(dir, 'out.tar.gz')
  assert.equal(await bundle({ dataDir: join(dir, 'cl'), out, isJson: false }), 0)
  const text = gunzipSync(readFileSync(out)).toString('utf8')
  for (const [name, secret] of Object.entries(secrets)) assert.ok(!text.includes(secret), name)
  assert.ok(!text.includes(JSON.stringify(secrets.password).slice(1, -1)))
  assert.match(text, /raft\.leader_elected/)
  assert.match(text, /admin = 7777/)
  assert.match(text, /said=\[removed\] end/)
  await assert.rejects(bundle({ dataDir: join(dir, 'cl'), out, isJson: false }), (error) =>
    isFault(error, 'exists'),
  )
  await assert.rejects(bundle({ dataDir: join(dir, 'no'), out, isJson: false }), (error) =>
    isFault(error, 'not-found'),
  )
})

test('an archive is what the system unpacks', () => {
  const facts = { mode: 0o640, modifiedSeconds: 1_700_000_000 }
  const long = `${'d'.repeat(90)}/${'e'.repeat(60)}/${'f'.repeat(90)}`
  const entries: TarEntry[] = [
    { kind: 'directory', path: 'a', mode: 0o755, modifiedSeconds: 5 },
    { kind: 'file', path: 'a/empty', bytes: new Uint8Array(0), ...facts },
    { kind: 'file', path: 'a/ü', bytes: new Uint8Array(513).fill(7), ...facts },
    { kind: 'file', path: long, bytes: new Uint8Array(512).fill(8), ...facts },
    { kind: 'link', path: 'a/link', target: 'empty', ...facts },
  ]
  const file = join(dir, 'x.tar')
  writeFileSync(file, Buffer.concat([...tarOf(entries)]))
  const to = join(dir, 'unpacked')
  mkdirSync(to)
  const unpacked = spawnSync('tar', ['-xf', file, '-C', to], { encoding: 'utf8' })
  assert.equal(unpacked.status, 0, unpacked.stderr)
  assert.equal(readFileSync(join(to, 'a/ü')).length, 513)
  assert.deepEqual(readFileSync(join(to, long)), Buffer.alloc(512, 8))
  assert.equal(readFileSync(join(to, 'a/link')).length, 0)
  const endless: TarEntry = {
    kind: 'file',
    path: 'x'.repeat(101),
    bytes: new Uint8Array(0),
    ...facts,
  }
  assert.throws(
    () => [...tarOf([endless])],
    (error) => isFault(error, 'invalid'),
  )
})

test('a unit is one that systemd takes, whatever the path', (t) => {
  const plan = { command: [process.execPath], dataDir: '/srv/a b%"c$d', user: 'atoll' }
  const unit = renderUnit(plan)
  assert.match(unit, /--data-dir "\/srv\/a b%%\\"c\$\$d" --log journal\n/)
  assert.throws(
    () => renderUnit({ ...plan, dataDir: '/srv/a\nExecStartPre=/bin/false' }),
    (error) => isFault(error, 'invalid'),
  )
  assert.throws(() => renderUnit({ ...plan, dataDir: 'relative' }), { code: 'invalid' })
  assert.throws(() => renderUnit({ ...plan, user: 'a b' }), { code: 'invalid' })
  const path = join(dir, 'atoll.service')
  writeFileSync(path, renderUnit({ ...plan, dataDir: '/var/lib/atoll' }))
  const verified = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
  if (verified.error !== undefined) t.skip('systemd-analyze is not installed')
  else assert.equal(`${verified.stderr}${verified.status}`, '0')
})
