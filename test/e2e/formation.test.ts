// From bare machines to a cluster, by command, on addresses of loopback: init with a list, joins by token, objects
// through every node, the loss of one; what is refused; the setup page, a bootstrap file and an operator's approval.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { getHash, randomFile, sha256 } from './cluster.ts'
import { type Line, Machines, until } from './machines.ts'

const machines = new Machines(12_800)
after(() => machines.stopAll())
const one = machines.add('rpi1', '127.0.0.21')
const two = machines.add('rpi2', '127.0.0.22')
const three = machines.add('rpi3', '127.0.0.23')
const list = [one, two, three].map(({ host }) => host).join()
const at = `127.0.0.21:${machines.port(7777)}`

const read = (machine: { dataDir: string }, name: string): string =>
  readFileSync(join(machine.dataDir, name), 'utf8')

let formed: Line
let token = ''

test('init with a list, and a join from every other machine', async () => {
  const command = [
    ...['admin', 'init', ...machines.flags(one)],
    ...['--nodes', '3', '--predastore-nodes', list, '--rs', '2+1'],
  ]
  const stopped = machines.start(one, command)
  token = String((await stopped.line('started')).token)
  stopped.child.kill('SIGKILL')
  await stopped.ended
  // The same command goes on where the first was killed: the same cluster, the same token.
  const init = machines.start(one, command)
  const started = await init.line('started')
  assert.equal(started.token, token)
  assert.match(token, /^at1\./)
  assert.match(String(started.joinCommand), /^atoll admin join --region eu .* --token at1\./)
  assert.match(String(started.cluster), /^c-[0-9a-f]{4}$/)
  assert.equal(started.node, 'n-rpi1')
  const join = (machine: typeof two) =>
    machines.must(machine, [
      'admin',
      'join',
      ...machines.flags(machine),
      '--host',
      at,
      '--token',
      token,
    ])
  await join(two)
  const startedMs = performance.now()
  await join(three)
  const online = performance.now() - startedMs
  formed = await init.line('formed')
  const all = performance.now() - startedMs
  const { status, stderr } = await init.ended
  assert.equal(status, 0, stderr)
  console.log(
    `the last join took ${Math.round(online)} ms, all members had the settings after ${Math.round(all)} ms`,
  )
  const [first, second, third] = [one, two, three].map((machine) => read(machine, 'cluster.toml'))
  assert.ok(first === second && second === third)
  assert.match(read(two, 'node.toml'), /node_id = 2\nfounders = \[1\]/)
  const bundles = [one, two, three].map((machine) => read(machine, 'cluster.json'))
  assert.equal(new Set(bundles).size, 1)
  for (const machine of [one, two, three]) {
    assert.match(read(machine, 'hints/hosts'), /127\.0\.0\.23 rpi3\.c-[0-9a-f]{4}\.atoll\.internal/)
  }
  assert.ok(!existsSync(`${one.dataDir}/identity/authority-key.pem`))
})

test('an object that one node took is read from another, also after the loss of the first', async () => {
  const file = randomFile(3 * 1024 * 1024)
  const client = machines.client(one, formed)
  await client.send(new CreateBucketCommand({ Bucket: 'photos' }))
  await client.send(new PutObjectCommand({ Bucket: 'photos', Key: 'a', Body: file }))
  assert.equal(await getHash(machines.client(three, formed), 'photos', 'a'), sha256(file))
  await machines.kill(one)
  await until('a read without the first node', async () => {
    return (await getHash(machines.client(two, formed), 'photos', 'a')) === sha256(file)
  })
  const again = machines.start(one, ['start', '--data-dir', one.dataDir])
  await until('the first node is back', async () => {
    const { members } = await machines.ask(one, 'admin', 'nodes')
    return (members as readonly Line[]).every(({ state }) => state === 'online')
  })
  assert.equal(await getHash(machines.client(one, formed), 'photos', 'a'), sha256(file))
  assert.equal(again.child.exitCode, null)
})

test('the same join again changes nothing, and init goes on where it was', async () => {
  await machines.must(two, [
    'admin',
    'join',
    ...machines.flags(two),
    '--host',
    at,
    '--token',
    token,
  ])
  const args = ['--nodes', '3', '--storage-nodes', list]
  const said = await machines.must(one, ['admin', 'init', ...machines.flags(one), ...args])
  const events = said
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as Line).event)
  assert.deepEqual(events, ['started', 'formed'])
  const other = await machines.run(one, ['admin', 'init', ...machines.flags(one), '--nodes', '1'])
  assert.equal(other.status, 73)
  assert.match(other.stderr, /already holds node n-rpi1 of cluster c-/)
})

test('every refusal has a reason and a status of its own', async () => {
  const four = machines.add('rpi4', '127.0.0.24')
  const join = async (args: readonly string[], flags = machines.flags(four)) => {
    const { status, stderr } = await machines.run(four, ['admin', 'join', ...flags, ...args])
    return [status, stderr] as const
  }
  const [used, why] = await join(['--host', at, '--token', token])
  assert.deepEqual([used, /was used 2 times/.test(why)], [83, true], why)
  const nobody = `127.0.0.29:${machines.port(7777)}`
  assert.equal((await join(['--host', nobody, '--token', token]))[0], 80)
  const fresh = await machines.ask(one, 'admin', 'token', 'create')
  const good = ['--host', at, '--token', String(fresh.token)]
  const named = (name: string, value: string) => {
    const flags = [...machines.flags(four)]
    flags[flags.indexOf(name) + 1] = value
    return flags
  }
  assert.equal((await join(good, named('--region', 'us')))[0], 90)
  assert.equal((await join(good, named('--node', 'rpi2')))[0], 88)
  const { view } = fresh as unknown as { readonly view: { readonly id: string } }
  await machines.ask(one, 'admin', 'token', 'revoke', view.id)
  assert.equal((await join(good))[0], 84)
  const [malformed] = await join(['--host', at, '--token', 'at1.x'])
  assert.equal(malformed, 64)
  const [pending] = await join(['--host', at, '--cluster', String(formed.cluster), '--no-wait'])
  assert.equal(pending, 87)
  await machines.ask(one, 'admin', 'reject', 'rpi4')
  const [rejected] = await join(['--host', at, '--cluster', String(formed.cluster)])
  assert.equal(rejected, 86)
  assert.ok(!existsSync(join4(four.dataDir)))
})

const join4 = (dir: string): string => join(dir, 'node.toml')

test('a machine that waits is let in by an operator', async () => {
  const five = machines.add('rpi5', '127.0.0.25')
  const args = ['--host', at, '--cluster', String(formed.clusterId)]
  const waiting = machines.start(five, ['admin', 'join', ...machines.flags(five), ...args])
  await until('it waits', async () => {
    const { waiting: who } = await machines.ask(two, 'admin', 'nodes')
    return (who as readonly Line[]).some(({ name }) => name === 'rpi5')
  })
  await machines.ask(one, 'admin', 'approve', 'rpi5')
  const { status, stderr } = await waiting.ended
  assert.equal(status, 0, stderr)
  assert.match(read(five, 'cluster.toml'), /host = "127\.0\.0\.25"/)
  await until('every copy of the file is the same again', async () => {
    const copies = [one, two, three, five].map((machine) => read(machine, 'cluster.toml'))
    return new Set(copies).size === 1
  })
})

test('the setup page pairs by four words, and a command finds the cluster by itself', async () => {
  const six = machines.add('rpi6', '127.0.0.26')
  const node = machines.start(six, [
    ...['start', '--data-dir', six.dataDir, '--bind', six.host],
    ...['--port-offset', String(machines.port(0))],
  ])
  const page = `http://${six.host}:${machines.port(7777)}`
  await until('the page is served', async () => (await fetch(`${page}/state`)).ok)
  const { words } = await machines.ask(two, 'admin', 'token', 'create', '--pairing')
  const number = /name="number" value="([0-9a-f]+)"/.exec(await (await fetch(page)).text())?.[1]
  const fields = {
    number: number ?? '',
    controller: at,
    secret: String(words),
    name: 'rpi6',
    bind: six.host,
    region: 'eu',
    zone: 'a',
    caps: '',
    labels: 'rack=r1',
  }
  const answered = await fetch(`${page}/join`, {
    method: 'POST',
    body: new URLSearchParams(fields),
    redirect: 'manual',
  })
  assert.equal(answered.status, 303)
  await until('the paired node is online', async () => {
    const { members } = await machines.ask(six, 'admin', 'nodes')
    return (members as readonly Line[]).some(
      ({ name, state }) => name === 'rpi6' && state === 'online',
    )
  })
  assert.equal(node.child.exitCode, null)
  const seven = machines.add('rpi7', '127.0.0.27')
  const { token: found } = await machines.ask(six, 'admin', 'token', 'create')
  await machines.must(seven, ['admin', 'join', ...machines.flags(seven), '--token', String(found)])
})

test('two clusters on one network: none is chosen, unless it is named', async () => {
  const other = machines.add('lone', '127.0.0.30')
  await machines.must(other, ['admin', 'init', ...machines.flags(other)])
  const nine = machines.add('rpi9', '127.0.0.31')
  const args = ['admin', 'join', ...machines.flags(nine)]
  const { token: given } = await machines.ask(other, 'admin', 'token', 'create')
  const { status, stderr } = await machines.run(nine, [...args, '--token', String(given)])
  assert.equal(status, 95, stderr)
  assert.match(stderr, /2 clusters answer: c-/)
  // A token of the one cluster shown to the other: nothing is sent.
  const wrong = await machines.run(nine, [...args, '--host', at, '--token', String(given)])
  assert.equal(wrong.status, 81, wrong.stderr)
  const { clusterId } = await machines.ask(other, 'admin', 'nodes')
  const named = ['--token', String(given), '--cluster', String(clusterId)]
  await machines.must(nine, [...args, ...named])
  const { members } = await machines.ask(other, 'admin', 'nodes')
  const names = (members as readonly Line[]).map(({ id, name }) => `${id} ${name}`)
  assert.deepEqual(names, ['1 lone', '2 rpi9'])
})

test('a bootstrap file joins without a person, and is gone afterwards', async () => {
  const eight = machines.add('rpi8', '127.0.0.28')
  const { token: given } = await machines.ask(one, 'admin', 'token', 'create', '--name', 'rpi8')
  const path = join(eight.dataDir, 'bootstrap.json')
  const file = {
    controllers: ['https://127.0.0.29:1', `https://${at}`],
    token: given,
    name: 'rpi8',
    bind: eight.host,
    region: 'eu',
    portOffset: machines.port(0),
    labels: { rack: 'r2' },
    caps: ['ebs'],
  }
  mkdirSync(eight.dataDir, { recursive: true })
  writeFileSync(path, JSON.stringify(file), { mode: 0o600 })
  machines.start(eight, [
    'start',
    '--data-dir',
    eight.dataDir,
    '--port-offset',
    String(machines.port(0)),
  ])
  await until('the node is online', async () => {
    const { members } = await machines.ask(eight, 'admin', 'nodes')
    const own = (members as readonly Line[]).find(({ name }) => name === 'rpi8')
    assert.deepEqual(own?.labels, { region: 'eu', zone: 'a', rack: 'r2' })
    return own?.state === 'online'
  })
  assert.ok(!existsSync(path))
})
