// What a node runs follows its capabilities, from its first start on and when an operator changes them; and what
// `atoll admin upgrade check` says of machines that are whole, and of such that are not.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CreateBucketCommand, ListBucketsCommand } from '@aws-sdk/client-s3'
import { type Line, Machines, until } from './machines.ts'

const machines = new Machines(13_400)
after(() => machines.stopAll())
const one = machines.add('svc1', '127.0.0.31')
const two = machines.add('svc2', '127.0.0.32')
const three = machines.add('svc3', '127.0.0.33')
let formed: Line

/** Whether the machine's S3 port takes requests. */
async function serves(machine: typeof one): Promise<boolean> {
  const client = machines.client(machine, formed)
  try {
    await client.send(new ListBucketsCommand({}))
    return true
  } catch (error) {
    if (/ECONNREFUSED/.test(String((error as Error & { code?: string }).code ?? error)))
      return false
    throw error
  }
}

test('machines join with capabilities of their own, and tell their version', async () => {
  const init = machines.start(one, [
    ...['admin', 'init', ...machines.flags(one)],
    ...['--nodes', '3', '--rs', '2+1'],
  ])
  const { token } = await init.line('started')
  const at = `127.0.0.31:${machines.port(7777)}`
  for (const [machine, caps] of [
    [two, 'control,s3'],
    [three, 'ebs,ec2'],
  ] as const) {
    const joining = ['admin', 'join', ...machines.flags(machine), '--cap', caps]
    await machines.must(machine, [...joining, '--host', at, '--token', String(token)])
  }
  formed = await init.line('formed')
  assert.equal((await init.ended).status, 0)
  const client = machines.client(one, formed)
  await client.send(new CreateBucketCommand({ Bucket: 'there' }))
  assert.deepEqual([await serves(one), await serves(two), await serves(three)], [true, true, false])
  type Member = { readonly name: string; readonly version: string; readonly caps: unknown }
  let members: readonly Member[] = []
  await until('all versions', async () => {
    members = (await machines.ask(one, 'admin', 'nodes')).members as readonly Member[]
    return members.every(({ version }) => version !== '')
  })
  assert.match(members[0]?.version ?? '', /^[0-9]+\.[0-9]+\.[0-9]+/)
  assert.deepEqual(
    members.map(({ caps }) => caps),
    [[], ['control', 's3'], ['ebs', 'ec2']],
  )
})

test('a service starts and ends while the node goes on, and stays so over a restart', async () => {
  await machines.ask(one, 'admin', 'caps', 'svc3', 'ebs,s3')
  await until('S3 on the third', () => serves(three))
  await machines.ask(two, 'admin', 'caps', 'svc2', 'control')
  await until('no S3 on the second', async () => !(await serves(two)))
  assert.equal(await serves(one), true)
  const refused = await machines.run(one, [
    ...['admin', 'caps', '1', 's3', '--data-dir', one.dataDir],
  ])
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /svc1 has the capability 'control', which stays/)
  await machines.must(two, ['stop', '--data-dir', two.dataDir])
  const again = machines.start(two, ['start', '--data-dir', two.dataDir, '--json'])
  const { nodeId, admin } = await again.line('serving')
  assert.deepEqual([nodeId, admin], [2, `https://127.0.0.32:${machines.port(7777)}`])
  await until('the second is back', async () => {
    const { members } = (await machines.ask(two, 'admin', 'nodes')) as unknown as {
      readonly members: readonly { readonly name: string; readonly state: string }[]
    }
    return members.every(({ state }) => state === 'online')
  })
  assert.equal(await serves(two), false)
  await machines.ask(two, 'admin', 'caps', '2', 'all')
  await until('S3 on the second', () => serves(two))
})

/** Status of an answer over TLS, '' when nobody listens. */
function answerOf(host: string, port: number, path: string, shown: object = {}): Promise<string> {
  return new Promise((settle) => {
    const to = { host, port, path, rejectUnauthorized: false, agent: false, ...shown }
    const asked = request(to, (response) => {
      response.resume()
      response.on('end', () => settle(String(response.statusCode)))
    })
    asked.on('error', () => settle(''))
    asked.end()
  })
}

test('settings move a service, switch one on, and say what this version has not', async () => {
  const all = [one, two, three]
  const set = (...words: readonly string[]) => machines.ask(one, 'admin', 'config', 'set', ...words)
  const [before, s3, etcd] = [machines.port(8443), machines.port(9443), machines.port(2379)]
  await set('s3.api_bind', `:${s3}`)
  for (const { host } of all) {
    await until(`S3 at its new place on ${host}`, async () => {
      const answers = [await answerOf(host, s3, '/'), await answerOf(host, before, '/')]
      return answers.join() === '403,'
    })
  }
  await set('ec2.api_bind', ':9001')
  const wrong = await machines.run(one, [
    'admin',
    'config',
    'set',
    'ec2.x',
    '1',
    '--data-dir',
    one.dataDir,
  ])
  assert.match(wrong.stderr, /ec2 has no setting x/)
  await set('etcd.api_bind', `:${etcd}`)
  const out = join(one.dataDir, 'ops')
  const make = ['client-certificate', 'create', 'ops', '--scopes', 'admin', '--out', out]
  const { id } = await machines.ask(one, 'admin', ...make)
  const pair = { cert: readFileSync(`${out}.pem`), key: readFileSync(`${out}.key`) }
  await machines.ask(one, 'admin', 'caps', 'svc3', 'control,s3,etcd,ebs')
  const version = (host: string, shown?: object) => answerOf(host, etcd, '/version', shown)
  for (const { host } of all) {
    await until(`etcd's API on ${host}`, async () => (await version(host, pair)) === '200')
    assert.equal(await version(host), '403')
  }
  type Row = { readonly name: string; readonly isHere: boolean; readonly nodes: readonly Runs[] }
  type Runs = { readonly name: string; readonly isWanted: boolean; readonly runs: boolean }
  const report = async (name: string): Promise<Row | undefined> => {
    const { services } = (await machines.ask(one, 'admin', 'services')) as unknown as {
      readonly services: readonly Row[]
    }
    return services.find((row) => row.name === name)
  }
  const runsOn = async (name: string): Promise<string> =>
    ((await report(name))?.nodes ?? []).flatMap((node) => (node.runs ? [node.name] : [])).join()
  assert.equal(await runsOn('etcd'), 'svc1,svc2,svc3')
  assert.equal(await runsOn('sql'), 'svc1,svc2')
  const ebs = await report('ebs')
  assert.equal(ebs?.isHere, false)
  assert.deepEqual(
    ebs?.nodes.map(({ isWanted, runs }) => [isWanted, runs]),
    [
      [false, false],
      [false, false],
      [true, false],
    ],
  )
  await machines.ask(one, 'admin', 'caps', 'svc3', 'control,s3')
  await until('no etcd on the third', async () => (await version(three.host, pair)) === '')
  await machines.ask(one, 'admin', 'client-certificate', 'delete', String(id))
  await until('a revoked certificate', async () => (await version(two.host, pair)) === '403')
  await set('etcd.api_bind')
  await until('no etcd anywhere', async () => (await runsOn('etcd')) === '')
  await set('s3.api_bind')
  await until('S3 where it was', async () => (await answerOf(two.host, before, '/')) === '403')
})

test('the check is content with whole machines, and names what is wrong with others', async () => {
  type Checked = {
    readonly isSafe: boolean
    readonly level: { readonly active: number; readonly newest: number }
    readonly nodes: readonly { readonly version: string; readonly level: number }[]
    readonly checks: readonly {
      readonly name: string
      readonly isSafe: boolean
      readonly text: string
    }[]
  }
  const check = async (): Promise<{
    readonly status: number | null
    readonly checked: Checked
  }> => {
    const args = ['admin', 'upgrade', 'check', '--data-dir', one.dataDir, '--json']
    const { status, stdout } = await machines.run(one, args)
    return { status, checked: JSON.parse(stdout) as Checked }
  }
  let told = await check()
  await until('a whole cluster', async () => {
    told = await check()
    return told.status === 0
  })
  const { checked } = told
  assert.equal(checked.isSafe, true)
  assert.equal(checked.level.active, checked.level.newest)
  assert.ok(checked.nodes.every(({ version, level }) => version !== '' && level >= 2))
  await machines.kill(three)
  await until('a check that says no', async () => (await check()).status === 1)
  const broken = await check()
  const wrong = broken.checked.checks.filter(({ isSafe }) => !isSafe).map(({ name }) => name)
  assert.ok(wrong.includes('nodes') && wrong.includes('quorum'), wrong.join())
  const text = await machines.run(one, ['admin', 'upgrade', 'check', '--data-dir', one.dataDir])
  assert.equal(text.status, 1)
  assert.match(text.stdout, /nodes +NO +svc3 is (?:suspect|offline)/)
  assert.match(text.stdout, /Not safe now/)
})
