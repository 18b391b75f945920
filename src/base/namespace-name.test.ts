import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from './index.ts'
import { checkNamespaceName } from './namespace-name.ts'

test('what is text under /raft/ is the name of a namespace, everything else is refused', () => {
  const good = ['/raft/cron', '/raft/queues/global', '/raft/service/my-api', '/raft/v1/x']
  const rare = [
    '/raft/a b',
    '/raft/Zürich',
    '/raft/日本/東京',
    '/raft/50 %?#*',
    '/raft/.a',
    '/raft/😀',
    '/raft/\u2764\ufe0f',
  ]
  for (const name of [...good, ...rare, `/raft/${'é'.repeat(124)}`]) checkNamespaceName(name)
  const bad = [
    ...['', 'cron', '/raft', '/raft/', '/cron', 'raft/a', '/Raft/a', ' /raft/a'],
    ...['/raft//a', '/raft/a/', '/raft/..', '/raft/./a', '/raft/ ', '/raft/a/transport'],
    ...[
      '/raft/a\n',
      '/raft/\u0000',
      '/raft/\u001b[2J',
      '/raft/a\u200b',
      '/raft/\u202eb',
      '/raft/\ud800',
    ],
    ...[
      '/raft/\u3164',
      '/raft/a\u115f',
      '/raft/cron\ufe0f',
      '/raft/\u2764\ufe0f\ufe0f',
      '/raft/\u2800',
    ],
    ...['/raft/a\u034f', '/raft/a\u{e0101}'],
    ...['/raft/u\u0308', '/raft/a\u2028b', `/raft/${'x'.repeat(250)}`, `/raft/${'é'.repeat(125)}`],
  ]
  for (const name of bad) {
    assert.throws(
      () => checkNamespaceName(name),
      (error) => isFault(error, 'invalid'),
      JSON.stringify(name),
    )
  }
})

test('whatever is given, it is a name or a fault, and a name survives a path', () => {
  const random = seededRandom(5)
  for (let turn = 0; turn < 2_000; turn++) {
    const units = Array.from({ length: random.integer(12) }, () => random.integer(0x1_0000))
    const name = `/raft/${String.fromCharCode(...units)}`
    try {
      checkNamespaceName(name)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'))
      continue
    }
    assert.equal(decodeURIComponent(name.split('/').map(encodeURIComponent).join('/')), name)
  }
})
