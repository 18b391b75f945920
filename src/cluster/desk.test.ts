import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type FaultCode,
  isFault,
  nodeId,
  seededRandom,
  sha256,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import { refreshBundle } from './bundle-keeper.ts'
import { formatJoinToken, parseJoinToken } from './core/join-token.ts'
import { planBundleChange, readBundle } from './core/settings-bundle.ts'
import { memberCodec, memberKey } from './core/records.ts'
import type { JoinAnswer } from './enrolment.ts'
import { joinClient } from './join-client.ts'
import { readSystem } from './system-sight.ts'
import { makeWorld, memberAt, testHost } from './testing/enrolment-world.ts'

const from = { remoteAddress: '10.11.12.2' }
const by = { createdBy: 'operator' }

async function refused(asked: Promise<unknown>, code: FaultCode, what: RegExp): Promise<void> {
  await assert.rejects(asked, (error) => isFault(error, code) && what.test(error.message))
}

function joined(answer: JoinAnswer): Extract<JoinAnswer, { readonly kind: 'joined' }> {
  assert.equal(answer.kind, 'joined')
  return answer.kind === 'joined' ? answer : assert.fail()
}

test('a token admits one machine, which gets all that it needs', async () => {
  const world = await makeWorld()
  const { token, view } = await world.desk.createToken(by)
  assert.deepEqual(
    [view.state, view.usesLeft, view.expiresMs - view.createdMs],
    ['open', 1, 3_600_000],
  )
  const machine = await world.machine(token)
  const answer = joined(await machine.ask())
  assert.equal(answer.nodeId, 2)
  assert.deepEqual(answer.founders, [1])
  assert.deepEqual(
    answer.members.map(({ id, name }) => [id, name]),
    [
      [1, 'node1'],
      [2, 'node2'],
    ],
  )
  const { authorityPem } = answer
  const own = await world.host.pki.verify(answer.nodeCertificatePem, {
    authorityPem,
    atMs: world.host.nowMs,
  })
  assert.deepEqual(own.uris, ['atoll://00112233445566778899aabbccddeeff/node/2'])
  assert.equal(
    own.keyHash,
    (await world.host.pki.readRequest(machine.keys.node.requestPem)).keyHash,
  )
  assert.equal(own.notAfterMs, world.host.nowMs + 7 * 86_400_000)
  const bundle = readBundle(answer.bundleText)
  assert.equal(bundle.epoch, 2)
  assert.match(answer.bundleText, /"node_id":"node2"/)
  assert.deepEqual(
    (await world.members()).map(({ id, state }) => [id, state]),
    [
      [1, 'online'],
      [2, 'joining'],
    ],
  )
  assert.deepEqual(
    (await world.desk.listTokens()).map(({ state }) => state),
    ['used'],
  )
  assert.deepEqual(
    (await world.desk.certificates()).map(({ member, serial }) => [member, serial]),
    [[2, own.serial]],
  )
})

test('the secret is nowhere in the namespace, not even its hash', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const { kvs } = await world.system.range({
    key: new Uint8Array([0]),
    rangeEnd: new Uint8Array([255]),
  })
  const all = kvs.map((kv) => toHex(kv.value)).join(' ')
  const secret = parseJoinToken(token).secret
  for (const bytes of [
    secret,
    sha256(secret),
    world.sealKey,
    utf8Encode(world.authority.privateKeyPem),
  ]) {
    assert.ok(!all.includes(toHex(bytes)))
  }
})

test('no token, an unknown, a wrong, an expired, a revoked and a used one are refused', async () => {
  const world = await makeWorld()
  const { desk, host } = world
  const made = await desk.createToken({ ...by, lifetimeMs: 60_000 })
  const nobody = await world.machine(undefined, { clusterId: '' })
  await refused(nobody.ask(), 'unauthenticated', /needs a token or the id of the cluster/)
  // Of the same authority, because both worlds began with one seed.
  const other = await makeWorld()
  await other.desk.createToken(by)
  const { token: foreign } = await other.desk.createToken(by)
  await refused((await world.machine(foreign)).ask(), 'unauthenticated', /there is no token/)
  const right = parseJoinToken(made.token)
  const wrong = formatJoinToken({ ...right, secret: new Uint8Array(16) })
  await refused(
    (await world.machine(wrong)).ask(),
    'unauthenticated',
    /proof for token .* is wrong/,
  )
  const late = await world.machine(made.token)
  host.nowMs += 60_000
  await refused(late.ask(), 'denied', /has expired/)
  const revoked = await desk.createToken(by)
  assert.equal((await desk.revokeToken(revoked.view.id)).state, 'revoked')
  await refused((await world.machine(revoked.token)).ask(), 'denied', /was revoked/)
  const once = await desk.createToken(by)
  joined(await (await world.machine(once.token)).ask())
  const second = await world.machine(once.token, { name: 'node3', ...addresses(3) })
  await refused(second.ask(), 'denied', /was used/)
  assert.equal((await world.members()).length, 2)
})

test('two machines race for the last use of a token on two desks: one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    const world = await makeWorld()
    const { token } = await world.desk.createToken(by)
    const machines = [
      await world.machine(token),
      await world.machine(token, {
        name: 'node3',
        control: memberAt(3).control,
        bulk: memberAt(3).bulk,
        admin: memberAt(3).admin,
      }),
    ]
    const desks = [world.makeDesk(), world.makeDesk()]
    const ended = await Promise.allSettled(machines.map((machine, at) => machine.ask(desks[at])))
    const winners = ended.filter(({ status }) => status === 'fulfilled')
    assert.equal(winners.length, 1)
    const loser = ended.find(({ status }) => status === 'rejected')
    assert.ok(loser?.status === 'rejected' && isFault(loser.reason, 'denied'))
    assert.deepEqual(
      (await world.members()).map(({ id }) => id),
      [1, 2],
    )
  }
})

test('many machines at once get numbers of their own, and one epoch each', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken({ ...by, uses: 12 })
  const desks = [world.makeDesk(), world.makeDesk(), world.makeDesk()]
  const asked = Array.from({ length: 12 }, async (_, at) => {
    const { control, bulk, admin, s3 } = memberAt(at + 2)
    const machine = await world.machine(token, { name: `n${at}`, control, bulk, admin, s3 })
    return joined(await machine.ask(desks[at % 3]))
  })
  const answers = await Promise.all(asked)
  const ids = answers.map((answer) => Number(answer.nodeId)).sort((a, b) => a - b)
  assert.deepEqual(
    ids,
    Array.from({ length: 12 }, (_, at) => at + 2),
  )
  assert.equal((await world.desk.bundle())?.epoch, 13)
})

test('a replayed request gets the same answer and makes nothing; an altered one is refused', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const machine = await world.machine(token)
  const body = await machine.body()
  const first = joined(await world.desk.admit(body, from))
  assert.deepEqual(await world.desk.admit(body, from), first)
  assert.equal((await world.members()).length, 2)
  const sent: Record<string, unknown> = JSON.parse(utf8Decode(body))
  const thief = await world.host.pki.makeRequest('thief')
  const altered = {
    node_id: 'node9',
    node_request: thief.requestPem,
    server_request: thief.requestPem,
    caps: [],
    ts: Number(sent.ts) + 1,
    region: 'x',
    token: '000000',
  }
  for (const [name, value] of Object.entries(altered)) {
    const forged = utf8Encode(JSON.stringify({ ...sent, [name]: value }))
    await refused(world.desk.admit(forged, from), 'unauthenticated', /not signed by the key/)
  }
  world.host.nowMs += 6 * 60_000
  await refused(world.desk.admit(body, from), 'precondition', /clock is 360 s behind/)
})

test('a proof seen on the wire serves no other key', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const sent = JSON.parse(utf8Decode(await (await world.machine(token)).body()))
  const thief = await world.machine(undefined)
  const own = JSON.parse(utf8Decode(await thief.body()))
  const stolen = { ...own, token: sent.token, proof: sent.proof }
  await refused(
    world.desk.admit(utf8Encode(JSON.stringify(stolen)), from),
    'unauthenticated',
    /not signed/,
  )
  assert.equal((await world.members()).length, 1)
})

test('a server in the middle with an authority of its own is not spoken to', async () => {
  const world = await makeWorld()
  const middle = testHost(seededRandom(99))
  const validity = { notBeforeMs: 0, notAfterMs: world.host.nowMs + 1e9 }
  const subjectName = 'Atoll cluster 00112233445566778899aabbccddeeff'
  const forged = await middle.pki.makeAuthority({ subjectName, ...validity })
  const { requestPem } = await middle.pki.makeRequest('server')
  const issue = {
    subjectName: 'server',
    uris: [],
    hosts: ['10.11.12.1'],
    usage: 'server',
    requestPem,
    ...validity,
  } as const
  const leaf = await middle.pki.issue(forged, issue)
  const { token } = await world.desk.createToken(by)
  const { pin } = parseJoinToken(token)
  const check = (chain: readonly string[]) => joinClient.checkPinnedChain(world.host, chain, pin)
  await refused(check([leaf, forged.certificatePem]), 'unauthenticated', /none of its certificates/)
  await refused(
    check([leaf, world.authority.certificatePem]),
    'unauthenticated',
    /of another authority/,
  )
  await refused(
    check([world.authority.certificatePem]),
    'unauthenticated',
    /none of its certificates/,
  )
  await refused(check([]), 'unauthenticated', /no certificate/)
  assert.equal((await check(world.chain)).authorityPem, world.authority.certificatePem)
})

test('a request made for another server of the same authority is refused: it was relayed', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const machine = await world.machine(token)
  const elsewhere = world.makeDesk({ serverKeyHashes: () => ['ab'.repeat(32)] })
  await refused(machine.ask(elsewhere), 'unauthenticated', /made for another server/)
})

test('a machine waits for an operator, is approved or rejected, and asks again for free', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken({ ...by, approval: 'operator' })
  const machine = await world.machine(token)
  const waiting = await machine.ask()
  assert.ok(waiting.kind === 'pending')
  assert.deepEqual(await machine.ask(), waiting)
  const [listed] = await world.desk.listEnrolments()
  assert.deepEqual(
    [listed?.state, listed?.name, listed?.fingerprint],
    ['pending', 'node2', waiting.fingerprint],
  )
  await refused(
    world.desk.approve('0000 0000 0000 0000', 'me'),
    'not-found',
    /nobody with the fingerprint/,
  )
  assert.equal((await world.desk.approve(waiting.fingerprint, 'me')).state, 'approved')
  await refused(world.desk.approve(waiting.fingerprint, 'me'), 'precondition', /does not wait/)
  assert.equal(joined(await machine.ask()).nodeId, 2)
  const other = await world.machine(undefined, { name: 'node3', ...addresses(3) })
  const asked = await other.ask()
  assert.ok(asked.kind === 'pending')
  await world.desk.reject(asked.fingerprint, 'me')
  await refused(other.ask(), 'denied', /rejected/)
  world.host.nowMs += 25 * 3_600_000
  const late = await world.machine(undefined, { name: 'node4', ...addresses(4) })
  await late.ask()
  world.host.nowMs += 25 * 3_600_000
  const states = (await world.desk.listEnrolments()).map(({ state }) => state)
  assert.deepEqual(states.toSorted(), ['expired', 'joined', 'rejected'])
})

function addresses(id: number) {
  const { control, bulk, admin, s3 } = memberAt(id)
  return { control, bulk, admin, s3 }
}

test('a removed member is refused renewal, and its serials are told to everybody', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const machine = await world.machine(token)
  joined(await machine.ask())
  const fresh = await joinClient.makeJoinKeys(world.host, 'node2')
  const request = {
    nodeRequestPem: fresh.node.requestPem,
    serverRequestPem: fresh.server.requestPem,
  }
  world.host.nowMs += 4 * 86_400_000
  const renewed = await world.desk.renew(nodeId(2), request)
  const { authorityPem } = renewed
  const own = await world.host.pki.verify(renewed.nodeCertificatePem, {
    authorityPem,
    atMs: world.host.nowMs,
  })
  assert.deepEqual(own.uris, ['atoll://00112233445566778899aabbccddeeff/node/2'])
  assert.deepEqual(
    (await world.desk.certificates()).map(({ serial }) => serial),
    [own.serial],
  )
  const [, second = memberAt(2)] = await world.members()
  await world.system.put(memberKey(2), memberCodec.encode({ ...second, state: 'removed' }))
  await refused(world.desk.renew(nodeId(2), request), 'denied', /no member any more/)
  await refused(world.desk.renew(nodeId(7), request), 'denied', /no member any more/)
  await refused(machine.ask(), 'denied', /was removed from the cluster/)
  assert.ok(await refreshBundle({ ...world, sealKey: () => world.sealKey }))
  const bundle = await world.desk.bundle()
  assert.ok(
    bundle?.text.includes(`"revoked":["${own.serial}"`) || bundle?.text.includes(own.serial),
  )
  assert.ok(!bundle?.text.includes('"node_id":"node2"'))
})

test('settings have a history and go back; each change is an epoch of the bundle', async () => {
  const { desk } = await makeWorld()
  const before = await desk.bundle()
  await desk.changeConfig((config) => ({ ...config, targetSize: 5 }), 'ann')
  await desk.changeConfig(
    (config) => ({ ...config, services: { s3: { api_bind: ':9002', replicas: 2 } } }),
    'bob',
  )
  assert.equal((await desk.bundle())?.epoch, (before?.epoch ?? 0) + 2)
  assert.match(
    (await desk.bundle())?.text ?? '',
    /"s3":\{"api_bind":":9002","replicas":2\}.*"target_size":5/,
  )
  await desk.rollbackConfig(1, 'cy')
  const history = await desk.configHistory()
  assert.deepEqual(
    history.map(({ version, changedBy }) => [version, changedBy]),
    [
      [4, 'cy'],
      [3, 'bob'],
      [2, 'ann'],
      [1, 'founding'],
    ],
  )
  assert.deepEqual((await desk.config()).config, history[3]?.config)
  await refused(desk.rollbackConfig(9, 'cy'), 'not-found', /no version 9/)
  await refused(
    desk.changeConfig((config) => ({ ...config, targetSize: 0 }), 'x'),
    'invalid',
    /targetSize/,
  )
})

test('the authority is rotated in steps, each of which everybody must have taken', async () => {
  const world = await makeWorld()
  const { desk, reports } = world
  const { token } = await desk.createToken(by)
  const report = { epoch: 99, digest: '', serial: '', notAfterMs: 0 }
  await refused(desk.rotateAuthority('issue'), 'precondition', /another step/)
  await refused(desk.rotateAuthority('drop'), 'precondition', /another step/)
  const added = await desk.rotateAuthority('add')
  assert.deepEqual(
    added.map(({ state }) => state),
    ['signing', 'next'],
  )
  await refused(desk.rotateAuthority('add'), 'precondition', /another step/)
  await refused(desk.rotateAuthority('issue'), 'precondition', /not every member .*: 1 \(node1\)/)
  const pins = added.map(({ pin }) => pin)
  reports.set(nodeId(1), { ...report, authorities: pins, issuer: pins[0] ?? '' })
  const held = readBundle((await desk.bundle())?.text ?? '')
  const issuing = await desk.rotateAuthority('issue')
  assert.deepEqual(
    issuing.map(({ state }) => state),
    ['retiring', 'signing'],
  )
  const now = readBundle((await desk.bundle())?.text ?? '')
  assert.notEqual(now.signer, held.signer)
  const { clusterId } = (await readSystem(world.system)).cluster
  assert.equal(planBundleChange(held, now, clusterId).kind, 'take')
  await refused((await world.machine(token)).ask(), 'denied', /was revoked/)
  await refused(desk.rotateAuthority('drop'), 'precondition', /not every member/)
  reports.set(nodeId(1), { ...report, authorities: pins, issuer: pins[1] ?? '' })
  assert.deepEqual(
    (await desk.rotateAuthority('drop')).map(({ pin }) => pin),
    [pins[1]],
  )
  const { token: newer } = await desk.createToken(by)
  const { pin } = parseJoinToken(newer)
  assert.equal(toHex(pin), pins[1])
})

test('without the seal key, or with another, nothing is admitted or opened', async () => {
  const world = await makeWorld()
  const { token } = await world.desk.createToken(by)
  const without = world.makeDesk({ sealKey: () => undefined })
  const machine = await world.machine(token)
  await refused(machine.ask(without), 'denied', /no seal key/)
  await refused(without.createToken(by), 'denied', /no seal key/)
  const foreign = world.makeDesk({ sealKey: () => new Uint8Array(32) })
  await refused(machine.ask(foreign), 'denied', /not this cluster's/)
  assert.equal((await world.desk.listTokens())[0]?.state, 'open')
})
