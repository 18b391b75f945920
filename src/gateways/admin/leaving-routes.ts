// Members that come and go, over the admin API:
//
//   POST /v1/members/add        {"addresses": {"control", "bulk", "admin", "s3"}, "name"?, "labels"?, "caps"?}: each address
//                               {"host", "port"} -> {"id", "founders", "members"}
//   POST /v1/members/drain      {"id", "cancel"?, "force"?} -> {"id", "state", "warnings"}
//   POST /v1/members/remove     {"id", "force"?} -> {"id", "state", "warnings"}: warnings say what force has cost
//   POST /v1/members/readdress  {"id", "host"} (all four addresses, their ports kept) or {"id", "addresses"} -> {"id", "changed"}
//   GET  /v1/moves              what moves, what is left of each drain, an estimate
//   POST /v1/moves              {"share"}: of the idle rate, 0.01 to 1 -> the same as GET

import { Fault, type NodeId, nodeId } from '../../base/index.ts'
import { checkLabels } from '../../cluster/index.ts'
import type { Address } from '../../host/index.ts'
import { type AdminAction, type AdminRoute, answerJson } from './routes.ts'

type Addresses = {
  readonly control: Address
  readonly bulk: Address
  readonly admin: Address
  readonly s3: Address
}

type Plan = {
  readonly member: { readonly id: NodeId; readonly state: string }
  readonly next: { readonly state: string } | undefined
  readonly objections: readonly string[]
}

export type LeavingRoutesActions = {
  add(newcomer: {
    readonly name?: string
    readonly addresses: Addresses
    readonly labels: Readonly<Record<string, string>>
    readonly caps: readonly string[]
  }): Promise<{
    readonly member: { readonly id: NodeId }
    readonly founders: readonly NodeId[]
    readonly members: readonly unknown[]
  }>
  drain(id: NodeId, options: { readonly isForced: boolean }): Promise<Plan>
  cancelDrain(id: NodeId): Promise<void>
  remove(id: NodeId, options: { readonly isForced: boolean }): Promise<Plan>
  readdress(id: NodeId, addresses: (member: Addresses) => Addresses): Promise<boolean>
  moves(): Promise<unknown>
  setMovesShare(share: number): Promise<void>
}

type Body = Readonly<Record<string, unknown>>
type Asked = (actions: LeavingRoutesActions, body: Body) => Promise<unknown>

const asked: readonly (readonly [path: string, needs: AdminAction, ask: Asked])[] = [
  ['/v1/members/add', 'admin:AddMember', add],
  ['/v1/members/drain', 'admin:DrainMember', drain],
  ['/v1/members/remove', 'admin:RemoveMember', remove],
  ['/v1/members/readdress', 'admin:ReaddressMember', readdress],
  ['/v1/moves', 'admin:WriteSettings', setShare],
]

export function leavingRoutes(actions: LeavingRoutesActions): readonly AdminRoute[] {
  const changes = asked.map(
    ([path, needs, ask]): AdminRoute => ({
      method: 'POST',
      path,
      needs,
      answer: async (call) => answerJson(200, await ask(actions, readObject(await call.body()))),
    }),
  )
  return [
    ...changes,
    {
      method: 'GET',
      path: '/v1/moves',
      needs: 'admin:ReadStatus',
      answer: async () => answerJson(200, await actions.moves()),
    },
  ]
}

async function add(actions: LeavingRoutesActions, body: Body): Promise<unknown> {
  const { name } = body
  if (name !== undefined && (typeof name !== 'string' || !namePattern.test(name))) {
    throw new Fault('invalid', '"name" has 1 to 63 letters, digits, dots and hyphens')
  }
  const { member, founders, members } = await actions.add({
    ...(name === undefined ? {} : { name }),
    addresses: readAddresses(body.addresses),
    labels: readLabels(body.labels),
    caps: readCaps(body.caps),
  })
  return { id: member.id, founders, members }
}

async function drain(actions: LeavingRoutesActions, body: Body): Promise<unknown> {
  const id = readId(body)
  if (readFlag(body, 'cancel')) {
    await actions.cancelDrain(id)
    return { id, state: 'online', warnings: [] }
  }
  return planned(await actions.drain(id, { isForced: readFlag(body, 'force') }))
}

async function readdress(actions: LeavingRoutesActions, body: Body): Promise<unknown> {
  const id = readId(body)
  const { host } = body
  const given = host === undefined ? readAddresses(body.addresses) : undefined
  const name = host === undefined ? '' : readHost(host)
  const moved = (member: Addresses): Addresses => ({
    control: { host: name, port: member.control.port },
    bulk: { host: name, port: member.bulk.port },
    admin: { host: name, port: member.admin.port },
    s3: { host: name, port: member.s3.port },
  })
  return { id, changed: await actions.readdress(id, (member) => given ?? moved(member)) }
}

async function remove(actions: LeavingRoutesActions, body: Body): Promise<unknown> {
  return planned(await actions.remove(readId(body), { isForced: readFlag(body, 'force') }))
}

async function setShare(actions: LeavingRoutesActions, { share }: Body): Promise<unknown> {
  if (typeof share !== 'number') throw new Fault('invalid', '"share" is a number')
  await actions.setMovesShare(share)
  return await actions.moves()
}

function readObject(body: unknown): Body {
  if (typeof body === 'object' && body !== null) return body as Body
  throw new Fault('invalid', 'expected an object')
}

function planned({ member, next, objections }: Plan): unknown {
  return { id: member.id, state: next?.state ?? member.state, warnings: objections }
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/
const hostPattern = /^[A-Za-z0-9.:-]{1,253}$/
const wordsMax = 64

function readId({ id }: Body): NodeId {
  if (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) return nodeId(id)
  throw new Fault('invalid', '"id" is the number of a member')
}

function readFlag(body: Body, name: string): boolean {
  const flag = body[name]
  if (flag === undefined || typeof flag === 'boolean') return flag === true
  throw new Fault('invalid', `"${name}" is true or false`)
}

function readHost(host: unknown): string {
  if (typeof host === 'string' && hostPattern.test(host)) return host
  throw new Fault('invalid', '"host" is an address or a host name')
}

function readAddresses(given: unknown): Addresses {
  const all = typeof given === 'object' && given !== null ? (given as Body) : {}
  const read = (kind: string): Address => {
    const one = all[kind]
    const { host, port } = typeof one === 'object' && one !== null ? (one as Body) : {}
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new Fault('invalid', `"addresses" needs "${kind}" with "host" and "port"`)
    }
    return { host: readHost(host), port }
  }
  return { control: read('control'), bulk: read('bulk'), admin: read('admin'), s3: read('s3') }
}

function readLabels(given: unknown): Readonly<Record<string, string>> {
  if (given === undefined) return {}
  const entries = typeof given === 'object' && given !== null ? Object.entries(given) : [['', 0]]
  const isSound = entries.every(
    ([key, value]) => typeof value === 'string' && isWord(String(key)) && isWord(value),
  )
  if (isSound && entries.length <= wordsMax) {
    const labels = Object.fromEntries(entries) as Readonly<Record<string, string>>
    checkLabels(labels)
    return labels
  }
  throw new Fault('invalid', `"labels" has at most ${wordsMax} texts by name`)
}

function readCaps(given: unknown): readonly string[] {
  if (given === undefined) return []
  const isSound = Array.isArray(given) && given.length <= wordsMax
  if (isSound && given.every((cap) => typeof cap === 'string' && isWord(cap))) return given
  throw new Fault('invalid', `"caps" has at most ${wordsMax} names`)
}

function isWord(text: string): boolean {
  return /^[\x21-\x7e]{1,63}$/.test(text)
}
