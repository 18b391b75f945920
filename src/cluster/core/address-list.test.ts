import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, seededRandom } from '../../base/index.ts'
import { parseEndpoint, parseHost, parseHostList } from './address-list.ts'
import { followMembers, planTopology, replaceInTopology, type Topology } from './topology.ts'

const invalid = (error: unknown): boolean => isFault(error, 'invalid')

test('a list is read in order, and every mistake in it is named', () => {
  assert.deepEqual(parseHostList('--l', '10.0.0.1, rpi2.local ,fd00::1'), [
    '10.0.0.1',
    'rpi2.local',
    'fd00::1',
  ])
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /place 1 is empty/],
    ['10.0.0.1,', /place 2 is empty/],
    ['10.0.0.1,,10.0.0.2', /place 2 is empty/],
    ['10.0.0.1,10.0.0.1', /listed twice/],
    ['Rpi.local,rpi.local', /listed twice/],
    ['10.0.0.256', /not an address/],
    ['10.0.0', /not an address/],
    ['10.0.0.01', /not an address/],
    ['0.0.0.0', /every address/],
    ['a b', /neither/],
    ['-a', /neither/],
    ['fd00:::1', /not an address/],
    ['1:2:3:4:5:6:7:8:9', /not an address/],
    ['x'.repeat(300), /too long/],
    [Array.from({ length: 1025 }, (_, at) => `h${at}`).join(), /more than 1024/],
  ]
  for (const [text, what] of wrong) {
    assert.throws(
      () => parseHostList('--l', text),
      (error) => invalid(error) && what.test(String(error)),
      text.slice(0, 40),
    )
  }
})

test('endpoints', () => {
  assert.deepEqual(parseEndpoint('--host', 'https://10.11.12.1:7777', 1), {
    host: '10.11.12.1',
    port: 7777,
  })
  assert.deepEqual(parseEndpoint('--host', 'https://a.b/', 7777), { host: 'a.b', port: 7777 })
  assert.deepEqual(parseEndpoint('--host', '[fd00::1]:9', 1), { host: 'fd00::1', port: 9 })
  for (const text of [
    '',
    ':1',
    'a:0',
    'a:65536',
    'a:b',
    'http://a',
    'a/b',
    '[::]',
    '0.0.0.0',
    'a:1:2',
  ]) {
    assert.throws(() => parseEndpoint('--host', text, 1), invalid, text)
  }
})

test('no text of any bytes does anything but parse or fail', () => {
  const random = seededRandom(41)
  const letters = '0123456789.:,[]/abz- ht\u0000é'
  for (let round = 0; round < 2_000; round++) {
    let text = ''
    for (let at = random.integer(24); at > 0; at--)
      text += letters[random.integer(letters.length)] ?? ''
    for (const parse of [
      parseHostList,
      parseHost,
      (flag: string, given: string) => parseEndpoint(flag, given, 1),
    ]) {
      try {
        parse('--l', text)
      } catch (error) {
        assert.ok(invalid(error), text)
      }
    }
  }
})

type Known = Parameters<typeof followMembers>[1][number]
const topology = planTopology({
  region: 'r',
  rs: { data: 2, parity: 1 },
  s3Tls: { host: '0.0.0.0', port: 8443 },
  addresses: ['a', 'b', 'c'].map((host) => ({ host, controlPort: 6660, bulkPort: 9991 })),
  buckets: [],
  auth: [],
})
const member = (id: number, host: string, more: Partial<Known> = {}): Known => ({
  id: nodeId(id),
  state: 'online',
  control: { host, port: 6660 },
  bulk: { host, port: 9991 },
  replaces: undefined,
  ...more,
})
const shown = ({ db, nodes }: Topology): string =>
  [db, nodes].map((list) => list.map(({ id, host }) => `${id}${host}`).join(' ')).join(' | ')

test('the file follows the members: those who never joined stay, the others are as the list says', () => {
  assert.deepEqual(followMembers(topology, [member(1, 'a')]), topology)
  const replaced = [
    member(1, 'a'),
    member(2, 'b', { state: 'removed' }),
    member(3, 'z'),
    member(4, 'b', { replaces: nodeId(2) }),
    member(6, 'f'),
    member(5, 'e', { state: 'joining' }),
    member(7, 'g', { state: 'pending' }),
  ]
  const expected = '1a 4b 3z 5e 6f | 1a 4b 3z 5e 6f'
  assert.equal(shown(followMembers(topology, replaced)), expected)
  const gone = replaced.map((one) => (one.id === 3 ? { ...one, state: 'removed' as const } : one))
  assert.equal(shown(followMembers(topology, gone)), '1a 4b 5e 6f | 1a 4b 5e 6f')
  const swapped = replaceInTopology(topology, nodeId(2), nodeId(4))
  const after = [...replaced.slice(0, 2), member(3, 'c'), ...replaced.slice(3, 4)]
  assert.deepEqual(followMembers(topology, after), swapped)
})

test('what was known in between makes no difference', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 200; round++) {
    let members: Known[] = [member(1, 'a')]
    let followed: Topology = topology
    let next = 4
    for (let step = 0; step < 8; step++) {
      const alive = members.filter((one) => one.state !== 'removed')
      const chosen = alive[random.integer(alive.length)]
      const kind = random.integer(4)
      if (kind === 0 && members.length < 3)
        members.push(member(members.length + 1, 'bc'[members.length - 1] ?? ''))
      else if (kind === 1) members.push(member(next++, `n${next}`))
      else if (chosen !== undefined && chosen.id !== 1) {
        members = members.map((one) => (one === chosen ? { ...one, state: 'removed' } : one))
        if (kind === 2) members.push(member(next++, chosen.control.host, { replaces: chosen.id }))
      }
      if (random.integer(2) === 0) followed = followMembers(followed, members)
    }
    assert.equal(shown(followMembers(followed, members)), shown(followMembers(topology, members)))
  }
})
