import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault } from '../base/index.ts'
import { isWanted, Services } from './services.ts'

type HostPart = ConstructorParameters<typeof Services>[0]

function bare() {
  const log: string[] = []
  const timers: (() => void)[] = []
  const host = {
    clock: {
      after: (_ms: number, run: () => void) => {
        timers.push(run)
        return { cancel: () => void timers.splice(0) }
      },
    },
    journal: { event: () => undefined, fatal: assert.fail },
  } as unknown as HostPart
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  }
  return { host, log, timers, settle }
}

/** Services that write down what happens to them, and a clock whose timers a test runs. */
function world(names: readonly string[]) {
  const { host, log, timers, settle } = bare()
  const broken = new Set<string>()
  const wanted = new Set<string>(names)
  const gates = new Map<string, Promise<void>>()
  const all = names.map((name) => ({
    name,
    async start() {
      await gates.get(`start ${name}`)
      if (broken.has(name)) throw new Fault('exists', `the port of ${name} is taken`)
      log.push(`start ${name}`)
      return async () => {
        log.push(`end ${name}`)
        await gates.get(name)
        log.push(`ended ${name}`)
      }
    },
  }))
  const services = new Services(host, all, (name) => wanted.has(name))
  return { services, log, timers, broken, wanted, gates, settle }
}

test('without capabilities everything runs; with them what they name, once the level is there', () => {
  const at = (level: number) => ({ level })
  assert.equal(isWanted('s3', undefined, at(2)), true)
  assert.equal(isWanted('s3', { caps: [] }, at(2)), true)
  assert.equal(isWanted('s3', { caps: ['control', 's3'] }, at(2)), true)
  assert.equal(isWanted('s3', { caps: ['control'] }, at(2)), false)
  assert.equal(isWanted('s3', { caps: ['control'] }, at(1)), true)
  assert.equal(isWanted('s3', { caps: ['control'] }, {}), true)
})

test('what is wanted starts, what is not ends, and the rest is left alone', async () => {
  const { services, log, wanted, settle } = world(['s3', 'etcd'])
  wanted.delete('etcd')
  await services.begin()
  services.follow()
  await settle()
  assert.deepEqual(log, ['start s3'])
  wanted.add('etcd')
  services.follow()
  await settle()
  assert.deepEqual(services.running, ['etcd', 's3'])
  wanted.delete('s3')
  services.follow()
  await settle()
  assert.deepEqual(log.splice(0), ['start s3', 'start etcd', 'end s3', 'ended s3'])
  await services.close()
  assert.deepEqual(log, ['end etcd', 'ended etcd'])
  wanted.add('s3')
  services.follow()
  await settle()
  assert.deepEqual(services.running, [])
})

test('one whose place changes is there before it leaves; a place that cannot be had costs nothing', async () => {
  const { host, log, timers, settle } = bare()
  let place: string | undefined = ':1'
  const taken = new Set<string>()
  const gateway = {
    name: 's3',
    place: () => place,
    async start(at: string) {
      if (taken.has(at)) throw new Fault('exists', `${at} is taken`)
      log.push(`start ${at}`)
      return async () => void log.push(`end ${at}`)
    },
  }
  const services = new Services(host, [gateway], () => true)
  await services.begin()
  place = ':2'
  services.follow()
  await settle()
  assert.deepEqual(log.splice(0), ['start :1', 'start :2', 'end :1'])
  taken.add(':3')
  place = ':3'
  services.follow()
  await settle()
  assert.deepEqual([log, services.running], [[], ['s3']])
  taken.clear()
  for (const run of timers.splice(0)) run()
  await settle()
  assert.deepEqual(log.splice(0), ['start :3', 'end :2'])
  place = undefined
  services.follow()
  await settle()
  assert.deepEqual([log.splice(0), services.running], [['end :3'], []])
  await services.close()
})

test('one that is in its own way at the same port ends first', async () => {
  const { host, log, settle } = bare()
  let place = '0.0.0.0:9'
  let open = ''
  const gateway = {
    name: 's3',
    place: () => place,
    async start(at: string) {
      if (open !== '') throw new Fault('exists', 'taken', { fields: { port: '9' } })
      open = at
      log.push(`start ${at}`)
      return async () => {
        open = ''
        log.push(`end ${at}`)
      }
    },
  }
  const services = new Services(host, [gateway], () => true)
  await services.begin()
  place = '10.0.0.7:9'
  services.follow()
  await settle()
  assert.deepEqual(log, ['start 0.0.0.0:9', 'end 0.0.0.0:9', 'start 10.0.0.7:9'])
  assert.deepEqual(services.running, ['s3'])
  await services.close()
  assert.equal(open, '')
})

test('what changes while one is ending is done after it', async () => {
  const { services, log, wanted, gates, settle } = world(['s3'])
  let open = (): void => undefined
  gates.set('s3', new Promise((resolve) => (open = resolve)))
  await services.begin()
  wanted.delete('s3')
  services.follow()
  await settle()
  wanted.add('s3')
  services.follow()
  await settle()
  assert.deepEqual(log, ['start s3', 'end s3'])
  open()
  await settle()
  assert.deepEqual(log, ['start s3', 'end s3', 'ended s3', 'start s3'])
  await services.close()
})

test('one that cannot start fails the start of the node; later it is tried again beside the others', async () => {
  const { services, log, wanted, broken, timers, settle } = world(['s3', 'etcd'])
  broken.add('s3')
  await assert.rejects(services.begin(), (error) => isFault(error, 'exists'))
  wanted.clear()
  await services.close()
  const later = world(['s3', 'etcd'])
  later.wanted.clear()
  await later.services.begin()
  later.broken.add('s3')
  later.wanted.add('s3').add('etcd')
  later.services.follow()
  await later.settle()
  assert.deepEqual(later.services.running, ['etcd'])
  later.broken.clear()
  for (const run of later.timers.splice(0)) run()
  await later.settle()
  assert.deepEqual(later.services.running, ['etcd', 's3'])
  assert.deepEqual([log, timers.length], [[], 0])
  await settle()
  await later.services.close()
})

test('what fails to start while the node stops is not tried again', async () => {
  const { services, wanted, broken, gates, timers } = world(['s3'])
  let open = (): void => undefined
  gates.set('start s3', new Promise((resolve) => (open = resolve)))
  wanted.clear()
  await services.begin()
  wanted.add('s3')
  broken.add('s3')
  services.follow()
  const closed = services.close()
  open()
  await closed
  assert.equal(timers.length, 0)
})
