// Many machines ask three desks at once, while answers of the namespace are lost before and after they take effect,
// tokens end, members are removed and settings change: whatever happens, what was admitted is consistent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, nodeId, type Random, seededRandom } from '../base/index.ts'
import type { TxnRequest, TxnResponse } from '../keyspace/index.ts'
import { refreshBundle } from './bundle-keeper.ts'
import { memberCodec, memberKey } from './core/records.ts'
import { planBundleChange, readBundle } from './core/settings-bundle.ts'
import type { EnrolmentDesk, JoinAnswer } from './enrolment.ts'
import { listBelow } from './system-sight.ts'
import { enrolmentCodec, enrolmentPrefix } from './core/enrolment-records.ts'
import {
  type EnrolmentWorld,
  makeWorld,
  memberAt,
  ownCluster,
  type TestMachine,
} from './testing/enrolment-world.ts'

const storms = 12
const machinesMax = 10

/** Loses some answers: half of those before they took effect, half after. */
function loseAnswers(world: EnrolmentWorld, random: Random): () => void {
  const { system } = world
  const txn = system.txn.bind(system)
  system.txn = async (request: TxnRequest): Promise<TxnResponse> => {
    const isWrite = request.success.some(({ kind }) => kind !== 'range')
    const turns = random.integer(4)
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    if (isWrite && random.chance(0.15)) throw new Fault('unavailable', 'lost before')
    const answer = await txn(request)
    if (isWrite && random.chance(0.15)) {
      throw new Fault('unavailable', 'lost after', { outcome: 'unknown' })
    }
    return answer
  }
  return () => {
    system.txn = txn
  }
}

type Asked = {
  readonly machine: TestMachine
  readonly name: string
  answer?: JoinAnswer
  refusal?: Fault
}

async function keepAsking(
  asked: Asked,
  desks: readonly EnrolmentDesk[],
  random: Random,
): Promise<void> {
  for (let round = 0; round < 60; round++) {
    try {
      const answer = await asked.machine.ask(desks[random.integer(desks.length)])
      if (answer.kind === 'pending') continue
      asked.answer = answer
      if (random.chance(0.7)) return
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.code === 'unavailable' || error.code === 'conflict') continue
      asked.refusal = error
      return
    }
  }
}

async function storm(seed: number): Promise<number> {
  const random = seededRandom(seed)
  const world = await makeWorld()
  // Numbers of their own for some: two that join at once do not meet at the next number.
  const db = [1, 2, 3, 4, 5].map((id) => ({
    id: nodeId(id),
    ...memberAt(id).control,
    path: '',
    leader: false,
  }))
  const topology = { db: random.chance(0.7) ? db : [] }
  const desks = [1, 2, 3].map(() => world.makeDesk({ topology }))
  const uses = [1, 2, 5]
  const tokens = await Promise.all(
    uses.map((count) => world.desk.createToken({ createdBy: 'x', uses: count })),
  )
  const asked: Asked[] = []
  for (let at = 0; at < machinesMax; at++) {
    const { control, bulk, admin, s3 } = memberAt(2 + random.integer(8))
    const name = `n${random.integer(8)}`
    const token = tokens[random.integer(tokens.length)]?.token
    const fields = { name, control, bulk, admin, s3 }
    asked.push({ machine: await world.machine(token, fields), name })
  }
  const calm = loseAnswers(world, random)
  const disturb = async (): Promise<void> => {
    const quietly = async (act: () => Promise<unknown>): Promise<void> => {
      await act().catch((error: unknown) => assert.ok(isFault(error), String(error)))
    }
    for (let turn = 0; turn < 6; turn++) {
      for (let wait = random.integer(60); wait > 0; wait--) await Promise.resolve()
      const which = random.integer(3)
      const desk = desks[random.integer(3)] ?? world.desk
      if (which === 0) await quietly(() => desk.revokeToken(tokens[0]?.view.id ?? ''))
      if (which === 1)
        await quietly(() => desk.changeConfig((now) => ({ ...now, targetSize: turn + 1 }), 'x'))
      if (which === 2) await quietly(() => removeOne(world, random))
    }
  }
  await Promise.all([...asked.map((one) => keepAsking(one, desks, random)), disturb()])
  calm()
  await check(world, { asked, uses, tokens: tokens.map(({ view }) => view.id) })
  return asked.filter(({ answer }) => answer !== undefined).length
}

async function removeOne(world: EnrolmentWorld, random: Random): Promise<void> {
  const members = (await world.members()).filter(({ id, state }) => id !== 1 && state !== 'removed')
  const member = members[random.integer(Math.max(1, members.length))]
  if (member === undefined) return
  await world.system.put(memberKey(member.id), memberCodec.encode({ ...member, state: 'removed' }))
}

async function check(
  world: EnrolmentWorld,
  {
    asked,
    uses,
    tokens,
  }: { asked: readonly Asked[]; uses: readonly number[]; tokens: readonly string[] },
): Promise<void> {
  const members = await world.members()
  const present = members.filter(({ state }) => state !== 'removed')
  const distinct = (values: readonly string[]): void =>
    assert.equal(new Set(values).size, values.length)
  distinct(present.map(({ name }) => name))
  distinct(present.map(({ control }) => control.host))
  const kvs = await listBelow(world.system, enrolmentPrefix)
  const records = kvs.map((kv) => enrolmentCodec.decode(kv.value))
  distinct(records.map(({ member }) => String(member)))
  assert.equal(members.length, records.length + 1, 'every member but the founder asked once')
  for (const [at, id] of tokens.entries()) {
    const used = records.filter(({ tokenId }) => tokenId === id).length
    assert.ok(used <= (uses[at] ?? 0), `${used} machines by a token for ${uses[at]}`)
    const view = (await world.desk.listTokens()).find((token) => token.id === id)
    assert.equal(view?.usesLeft, (uses[at] ?? 0) - used)
  }
  for (const { answer, name } of asked) {
    if (answer?.kind !== 'joined') continue
    const member = members.find(({ id }) => id === answer.nodeId)
    assert.equal(member?.name, name)
    const change = planBundleChange(undefined, readBundle(answer.bundleText), ownCluster)
    assert.equal(change.kind, 'take')
  }
  assert.ok(await refreshBundle({ ...world, sealKey: () => world.sealKey }))
  const text = (await world.desk.bundle())?.text ?? ''
  const listed = (JSON.parse(text) as { members: { id: number }[] }).members.map(({ id }) => id)
  assert.deepEqual(
    listed,
    present.map(({ id }) => Number(id)),
  )
}

test('whatever is lost on the way, members, tokens and settings agree', async () => {
  let admitted = 0
  for (let seed = 1; seed <= storms; seed++) admitted += await storm(seed)
  assert.ok(admitted > storms, 'the storms let machines in')
})
