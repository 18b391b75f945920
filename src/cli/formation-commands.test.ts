import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isFault } from '../base/index.ts'
import { parseTopology } from '../cluster/files.ts'
import { renderTopology } from '../cluster/index.ts'
import { parseCaps, parseLabels, parseName, readInit, readJoin } from './admin-flags.ts'
import { isComplete, joinCommand, planInit } from './admin-init.ts'
import { readBootstrap, shredBootstrap } from './bootstrap-file.ts'
import { joinStatuses } from './join-status.ts'
import { openDisplay } from './live-display.ts'
import { acquireLock } from '../host/real/lock.ts'
import {
  archiveDir,
  enrolLockPath,
  finishPlacing,
  finishUndisturbed,
  placeNode,
} from './placing.ts'
import { isCluster, plainNode, shortCluster, shortNode } from './short-names.ts'

let dir: string
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'atoll-formation-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

const invalid = (error: unknown): boolean => isFault(error, 'invalid')
const flags = {
  region: 'eu',
  az: 'a',
  node: 'rpi1',
  bind: '10.11.12.1',
  dataDir: '/srv/atoll',
}
const machine = readInit(flags).machine

test('the list of storage nodes becomes the document, and says who this machine is', () => {
  const list = '10.11.12.1,10.11.12.2,10.11.12.3'
  const {
    machine: own,
    storageNodes,
    nodes,
    rs,
  } = readInit({ ...flags, region: 'ap-southeast-2', predastoreNodes: list, rs: '2+1' })
  const { topology, self, targetSize } = planInit({ machine: own, storageNodes, nodes, rs })
  assert.deepEqual([self, targetSize], [1, 3])
  const text = renderTopology({
    ...topology,
    auth: [{ accessKeyId: '...', secretAccessKey: '...' }],
  })
  const seed = readFileSync(join(import.meta.dirname, 'testdata', 'document.toml'), 'utf8')
  assert.equal(text, seed)
  const second = planInit({ machine: { ...own, bind: '10.11.12.2' }, storageNodes, nodes, rs })
  assert.equal(second.self, 2)
})

test('lists that contradict the other flags are refused', () => {
  const storageNodes = ['10.11.12.1', '10.11.12.2', '10.11.12.3']
  const plan = { machine, storageNodes, nodes: undefined, rs: undefined }
  const stranger = { ...machine, bind: '10.11.12.9' }
  assert.throws(() => planInit({ ...plan, machine: stranger }), /not in the list/)
  assert.throws(() => planInit({ ...plan, nodes: 2 }), /3 storage nodes are listed/)
  assert.throws(() => planInit({ ...plan, rs: { data: 3, parity: 2 } }), /needs 5 storage nodes/)
  assert.throws(() => readInit({ ...flags, storageNodes: 'a,a' }), invalid)
  assert.throws(() => readInit({ ...flags, storageNodes: 'a', predastoreNodes: 'b' }), /two names/)
  assert.throws(() => readInit({ ...flags, hiveDir: '/other' }), /two names/)
  assert.throws(() => readInit({ ...flags, bind: '0.0.0.0' }), /every address/)
  for (const missing of ['region', 'az', 'node', 'bind', 'dataDir']) {
    assert.throws(() => readInit({ ...flags, [missing]: undefined }), invalid, missing)
  }
})

test('without a list the cluster is this node alone, made for as many as join', () => {
  const alone = planInit({ machine, storageNodes: undefined, nodes: undefined, rs: undefined })
  assert.deepEqual(
    [alone.topology.db.length, alone.targetSize, alone.topology.rs],
    [1, 1, { data: 1, parity: 0 }],
  )
  const grows = planInit({ machine, storageNodes: undefined, nodes: 3, rs: undefined })
  assert.deepEqual(
    [grows.topology.db.length, grows.targetSize, grows.topology.rs],
    [1, 3, { data: 2, parity: 1 }],
  )
  const text = renderTopology(grows.topology)
  assert.throws(() => parseTopology(text, 'cluster.toml'), invalid)
  assert.deepEqual(parseTopology(text, 'cluster.toml', { mayGrow: true }).rs, {
    data: 2,
    parity: 1,
  })
})

test('the join command is what join reads', () => {
  const ports = readInit({ ...flags, portOffset: '100' }).machine.ports
  const command = joinCommand(
    { ...machine, ports },
    { at: { host: 'fd00::1', port: 7877 }, token: 'at1.x.y.z' },
  )
  assert.match(command, /--host \[fd00::1\]:7877 .*--port-offset 100 --token at1\.x\.y\.z$/)
  const { at, token } = readJoin({ ...flags, host: '[fd00::1]:7877', token: 'at1.x.y.z' })
  assert.deepEqual([at, token], [{ host: 'fd00::1', port: 7877 }, 'at1.x.y.z'])
  assert.deepEqual(readJoin({ ...flags, leader: 'https://10.11.12.1:7777' }).at, {
    host: '10.11.12.1',
    port: 7777,
  })
})

test('names, capabilities and labels are read strictly', () => {
  assert.deepEqual(parseCaps('ebs, ec2,ebs'), ['ebs', 'ec2'])
  assert.deepEqual(parseLabels('rack=r12, dc=fra-1'), { rack: 'r12', dc: 'fra-1' })
  for (const text of ['', 'a,', 'A', 'a b', `${'a'.repeat(33)}`])
    assert.throws(() => parseCaps(text), invalid, text)
  for (const text of [
    '',
    'a',
    '=b',
    'a=b=c',
    '__proto__=x',
    'Rack=r1',
    'rack=',
    'rack=a b',
    'rack=-',
  ])
    assert.throws(() => parseLabels(text), invalid, text)
  for (const text of ['', '-a', 'a b', 'é', 'a'.repeat(64)])
    assert.throws(() => parseName('--node', text), invalid, text)
  const id = `82d5${'0'.repeat(28)}`
  assert.deepEqual(
    [shortCluster(id), shortNode('rpi1'), plainNode('n-rpi1'), plainNode('rpi1')],
    ['c-82d5', 'n-rpi1', 'rpi1', 'rpi1'],
  )
  for (const text of ['c-82d5', '82D5', id]) assert.ok(isCluster(text, id), text)
  for (const text of ['82d', 'c-', 'c-82d6', '', `${id}0`]) assert.ok(!isCluster(text, id), text)
  const statuses = Object.values(joinStatuses).map(({ status }) => status)
  assert.equal(new Set(statuses).size, statuses.length)
})

test('a formed cluster is one whose members are online and hold the newest settings', () => {
  const member = (state: string, epoch: number) => ({
    id: 1,
    name: 'a',
    state,
    address: 'a:1',
    caps: [],
    labels: {},
    version: '',
    epoch,
  })
  const answered = {
    clusterId: '',
    region: '',
    targetSize: 2,
    epoch: 3,
    waiting: [],
    members: [member('online', 3), member('online', 3)],
  }
  assert.ok(isComplete(answered, 2))
  assert.ok(!isComplete({ ...answered, members: [member('online', 3), member('joining', 3)] }, 2))
  assert.ok(!isComplete({ ...answered, members: [member('online', 3), member('online', 2)] }, 2))
  assert.ok(
    !isComplete({ ...answered, epoch: 0, members: [member('online', 0), member('online', 0)] }, 2),
  )
})

const files = ['identity/node.pem', 'identity/node-key.pem', 'cluster.toml', 'node.toml']

function fill(folder: string): void {
  for (const name of files) {
    mkdirSync(join(folder, 'identity'), { recursive: true })
    writeFileSync(join(folder, name), name)
  }
}

test('a directory becomes a node as a whole, wherever the command was stopped', async () => {
  const bare = join(dir, 'bare')
  await assert.rejects(
    placeNode(bare, async (folder) => {
      fill(folder)
      throw new Error('killed')
    }),
  )
  assert.equal(finishPlacing(bare), false)
  assert.deepEqual(readdirSync(bare), [])
  // Killed after any number of the moves: the next command makes the others.
  for (const moved of [
    [],
    ['identity'],
    ['cluster.toml'],
    ['identity', 'cluster.toml'],
    ['identity', 'cluster.toml', 'node.toml'],
  ]) {
    const home = join(dir, `home-${moved.length}-${moved[0]}`)
    fill(join(home, '.placing', 'node'))
    writeFileSync(join(home, '.placing', 'whole'), '1\n')
    for (const name of moved) renameSync(join(home, '.placing', 'node', name), join(home, name))
    assert.equal(finishPlacing(home), true)
    for (const name of files) assert.equal(readFileSync(join(home, name), 'utf8'), name)
    assert.ok(!existsSync(join(home, '.placing')))
    assert.equal(finishPlacing(home), true)
  }
})

test('what a directory held is kept when it begins anew', async () => {
  const home = join(dir, 'anew')
  fill(home)
  writeFileSync(join(home, 'other'), 'x')
  const folder = archiveDir(home, 'stamp')
  assert.equal(folder, join(home, 'archive-stamp'))
  assert.deepEqual(readdirSync(home), ['archive-stamp'])
  assert.equal(readFileSync(join(home, 'archive-stamp', 'other'), 'utf8'), 'x')
  assert.equal(archiveDir(home, 'second'), undefined)
})

test('a bootstrap file is private, whole, and gone afterwards', () => {
  const path = join(dir, 'bootstrap.json')
  const secret = join(dir, 'secret')
  const write = (content: unknown, mode = 0o600): void => {
    rmSync(path, { force: true })
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode })
  }
  assert.equal(readBootstrap(path), undefined)
  const whole = {
    controllers: ['https://10.0.0.1:7777', 'a.b'],
    tokenFile: 'secret',
    name: 'rpi3',
    bind: '10.0.0.3',
    labels: { rack: 'r1' },
    caps: ['ebs'],
  }
  writeFileSync(secret, 'at1.x\n', { mode: 0o600 })
  write(whole)
  const target = readBootstrap(path)
  assert.deepEqual(target?.controllers, [
    { host: '10.0.0.1', port: 7777 },
    { host: 'a.b', port: 7777 },
  ])
  assert.deepEqual(
    [target?.token, target?.machine.name, target?.machine.labels],
    ['at1.x', 'rpi3', { rack: 'r1' }],
  )
  for (const wrong of [
    '',
    '{',
    '[]',
    {},
    { ...whole, bind: '0.0.0.0' },
    { ...whole, tokenFile: undefined },
    { ...whole, other: 1 },
    { ...whole, controllers: ['a:b'] },
    // One value with a comma, not two labels.
    { ...whole, labels: { rack: 'r1,dc=d1' } },
    { ...whole, labels: { Rack: 'r1' } },
  ]) {
    write(wrong)
    assert.throws(() => readBootstrap(path), invalid, JSON.stringify(wrong))
  }
  write(whole, 0o644)
  assert.throws(
    () => readBootstrap(path),
    (error) => isFault(error, 'denied'),
  )
  chmodSync(path, 0o600)
  chmodSync(secret, 0o640)
  assert.throws(
    () => readBootstrap(path),
    (error) => isFault(error, 'denied'),
  )
  assert.equal(statSync(path).mode & 0o777, 0o600)
  shredBootstrap(path)
  assert.ok(!existsSync(path) && !existsSync(secret))
  shredBootstrap(path)
})

test('a display adds lines where there is no terminal, and writes over them where there is', () => {
  const written: string[] = []
  const output = (isTTY: boolean) =>
    ({ isTTY, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream
  const plain = openDisplay(output(false))
  plain.show(['1 of 2', 'a'])
  plain.show(['1 of 2', 'a'])
  plain.show(['2 of 2', 'a'])
  assert.deepEqual(written.splice(0), ['1 of 2\n', 'a\n', '2 of 2\n'])
  const terminal = openDisplay(output(true))
  terminal.show(['x', 'y'])
  terminal.show(['z'])
  terminal.end()
  terminal.show(['w'])
  assert.deepEqual(written, [
    '\r\u001b[2Kx\n\r\u001b[2Ky\n',
    '\u001b[2A\r\u001b[2Kz\n\r\u001b[2K\n\u001b[1A',
    '\r\u001b[2Kw\n',
  ])
})

test('a process that finds a directory leaves it alone while a command writes it', async () => {
  const home = mkdtempSync(join(tmpdir(), 'atoll-undisturbed-'))
  try {
    assert.equal(finishUndisturbed(home), false)
    const command = acquireLock(enrolLockPath(home), home)
    await placeNode(home, async (folder) => {
      mkdirSync(join(folder, 'identity'), { recursive: true })
      for (const name of ['node.toml', 'identity/node.pem', 'identity/node-key.pem']) {
        assert.equal(finishUndisturbed(home), false)
        writeFileSync(join(folder, name), name)
      }
    })
    command.release()
    assert.equal(finishUndisturbed(home), true)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
})
