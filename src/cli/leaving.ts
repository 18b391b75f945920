// `atoll admin drain|remove|replace|readdress|moves`: asks the admin API, shows what is left while a drain runs, and
// does the part that concerns this machine: the directories of a launcher's nodes.

import { Fault, nodeId } from '../base/index.ts'
import { readdressInTopology } from '../cluster/index.ts'
import type { DrainProgress, MovesProgress } from '../node/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { type Formation, readFormation, type Slot } from './formation.ts'
import { dropSlot, readdressSlot } from './grow.ts'
import { findNodes } from './known-nodes.ts'
import { acquireLock, readHolder, tellToEnd } from '../host/real/lock.ts'
import { writeTopology } from './node-dir.ts'
import { findOwnNode, type OwnNode } from './own-node.ts'
import { launcherPaths, nodePaths } from './paths.ts'
import { replaceLostSlot } from './replace.ts'
import { plainNode } from './short-names.ts'
import { duration, size } from './status-text.ts'
import { answer, tell } from './terminal.ts'

export type LeavingCommand =
  | {
      readonly kind: 'drain'
      readonly node: string
      readonly isForced: boolean
      readonly isDetached: boolean
    }
  | { readonly kind: 'cancel-drain'; readonly node: string }
  | { readonly kind: 'remove'; readonly node: string; readonly isForced: boolean }
  | { readonly kind: 'replace'; readonly node: string }
  | { readonly kind: 'readdress'; readonly node: string; readonly host: string }
  | { readonly kind: 'moves'; readonly share: number | undefined }

export type LeavingOptions = {
  readonly dataDir: string
  /** Id of the node to ask. */
  readonly ask: number | undefined
  readonly isJson: boolean
}

type Left = { readonly id: number; readonly state: string; readonly warnings: readonly string[] }

const askMs = 30_000
const pollMs = 1_000
/** A drain goes on while nobody answers for a while; after so many silent polls the command gives up. */
const silentMax = 30
const endedMsMax = 20_000

/** Settles with the exit status. */
export async function leavingCommand(
  command: LeavingCommand,
  options: LeavingOptions,
): Promise<number> {
  switch (command.kind) {
    case 'drain':
      return await drain(command, options)
    case 'cancel-drain': {
      const id = await findId(command.node, options)
      const body = { id, cancel: true }
      const done = await ask<Left>(options, { path: '/v1/members/drain', body })
      print(options, done, `node ${done.id} drains no more`)
      return 0
    }
    case 'remove':
      return await remove(command, options)
    case 'replace':
      return await replace(command.node, options)
    case 'readdress':
      return await readdress(command, options)
    case 'moves': {
      const { share } = command
      const body = share === undefined ? {} : { body: { share } }
      const moves = await ask<MovesProgress>(options, { path: '/v1/moves', ...body })
      print(options, moves, describeMoves(moves))
      return 0
    }
  }
}

async function drain(
  { node, isForced, isDetached }: Extract<LeavingCommand, { kind: 'drain' }>,
  options: LeavingOptions,
): Promise<number> {
  const id = await findId(node, options)
  const begun = await ask<Left>(options, {
    path: '/v1/members/drain',
    body: { id, force: isForced },
  })
  warn(begun)
  if (isDetached) {
    print(options, begun, `node ${id} drains; \`atoll admin moves\` shows how far it is`)
    return 0
  }
  let shown = ''
  for (let silent = 0; ; ) {
    const moves = await ask<MovesProgress>(options, { path: '/v1/moves' }).catch(
      (error: unknown) => {
        silent++
        if (silent > silentMax) throw error
        return undefined
      },
    )
    const state = moves?.draining.find((one) => one.id === id)
    if (moves !== undefined && state === undefined) {
      throw new Fault('conflict', `node ${id} drains no more: somebody cancelled it or removed it`)
    }
    if (state !== undefined) {
      silent = 0
      const line = options.isJson ? JSON.stringify(state) : describeDrain(state)
      if (line !== shown && options.isJson) answer(line)
      else if (line !== shown) tell(`atoll: ${line}`)
      shown = line
      if (state.isDrained) break
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
  if (!options.isJson) answer(`node ${id} is empty\n  next: atoll admin remove ${id}`)
  return 0
}

async function remove(
  { node, isForced }: Extract<LeavingCommand, { kind: 'remove' }>,
  options: LeavingOptions,
): Promise<number> {
  const id = await findId(node, options)
  const done = await ask<Left>(options, {
    path: '/v1/members/remove',
    body: { id, force: isForced },
  })
  warn(done)
  const aside = await dropLocally(options.dataDir, id)
  const local = aside === undefined ? 'stop its process' : `what it held is in ${aside}`
  print(options, done, `node ${id} is no member any more; ${local}`)
  return 0
}

/** Where a node of a launcher was, its process has ended. Undefined: it is not of this directory. */
async function dropLocally(dataDir: string, id: number): Promise<string | undefined> {
  const found = findSlot(dataDir, id)
  if (found === undefined) return undefined
  const { slot } = found
  const { lock } = nodePaths(launcherPaths(dataDir).node(slot.slot))
  const pid = readHolder(lock)
  if (pid !== undefined) tellToEnd(pid)
  const endMs = Date.now() + endedMsMax
  while (readHolder(lock) !== undefined) {
    if (Date.now() > endMs) {
      throw new Fault('deadline', `node ${id} is removed, but its process ${pid} does not end`, {
        next: `end it, and run \`atoll admin remove ${id}\` again`,
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return await locked(dataDir, (formation) => dropSlot(dataDir, formation, slot))
}

const anyToken = {
  uses: undefined,
  lifetimeSeconds: undefined,
  name: undefined,
  addressPrefix: undefined,
  approval: undefined,
}

async function replace(node: string, options: LeavingOptions): Promise<number> {
  const { dataDir } = options
  const id = await findId(node, options)
  const found = findSlot(dataDir, id)
  if (found === undefined) {
    tell(`atoll: the machine that joins with this token takes the place of node ${id}`)
    const { createToken } = await import('./admin-tokens.ts')
    const flags = { ...anyToken, replaces: id }
    return await createToken({ dataDir, isJson: options.isJson, flags })
  }
  requireStopped(dataDir, found.slot)
  const changed = await locked(dataDir, async (formation) => {
    const live = formation.slots.filter(({ slot }) => slot !== found.slot.slot)
    return await replaceLostSlot(dataDir, formation, { lost: found.slot, live })
  })
  const fresh = changed.slots.find(({ slot }) => slot === found.slot.slot)
  const next = `atoll up --node ${fresh?.id} --data-dir ${dataDir}`
  print(options, { id: fresh?.id, replaces: id }, `start it\n  next: ${next}`)
  return 0
}

async function readdress(
  { node, host }: Extract<LeavingCommand, { kind: 'readdress' }>,
  options: LeavingOptions,
): Promise<number> {
  const { dataDir } = options
  const own = findStopped(dataDir, node)
  if (own !== undefined) return readdressOwn(own, host, options)
  const id = await findId(node, options)
  const found = findSlot(dataDir, id)
  if (found !== undefined) requireStopped(dataDir, found.slot)
  const body = { id, host }
  const done = await ask<{ id: number; changed: boolean }>(options, {
    path: '/v1/members/readdress',
    body,
  })
  if (found !== undefined) {
    await locked(dataDir, (formation) =>
      readdressSlot(dataDir, formation, { slot: found.slot, host }),
    )
  }
  const next =
    found === undefined
      ? `there, once it is stopped: atoll admin readdress ${id} --bind ${host} --data-dir DIR, then start it`
      : `atoll up --node ${id} --data-dir ${dataDir}`
  print(options, done, `node ${id} is at ${host} now\n  next: ${next}`)
  return 0
}

/** The node whose directory this is, if it is the one that is meant and does not run. */
function findStopped(dataDir: string, node: string): OwnNode | undefined {
  if (readFormation(dataDir) !== undefined) return undefined
  const own = findOwnNode(dataDir)
  const isMeant = own !== undefined && (String(own.id) === node || own.name === plainNode(node))
  return isMeant && readHolder(nodePaths(dataDir).lock) === undefined ? own : undefined
}

/** On the machine itself: where the node will listen. The others are told by asking one of them. */
function readdressOwn(
  { id, topology, host: before }: OwnNode,
  host: string,
  options: LeavingOptions,
): number {
  const { dataDir } = options
  const other = topology.db.find((db) => db.host === host && db.id !== id)
  if (other !== undefined) throw new Fault('conflict', `node ${other.id} is at ${host}`)
  const lock = acquireLock(nodePaths(dataDir).lock, dataDir)
  try {
    writeTopology(dataDir, readdressInTopology(topology, nodeId(id), host))
  } finally {
    lock.release()
  }
  const told = `tell the others, if that is not done: atoll admin readdress ${id} --bind ${host}, on one of them`
  const next = `atoll start --data-dir ${dataDir}`
  const text = `node ${id} will listen at ${host}\n  ${told}\n  next: ${next}`
  print(options, { id, changed: host !== before }, text)
  return 0
}

function requireStopped(dataDir: string, { slot, id }: Slot): void {
  const pid = readHolder(nodePaths(launcherPaths(dataDir).node(slot)).lock)
  if (pid === undefined) return
  throw new Fault('precondition', `node ${id} runs, as process ${pid}`, {
    next: `stop it first: kill ${pid}`,
  })
}

/** While no launcher changes the files. */
async function locked<T>(
  dataDir: string,
  change: (formation: Formation) => T | Promise<T>,
): Promise<T> {
  const lock = acquireLock(launcherPaths(dataDir).lock, dataDir)
  try {
    const formation = readFormation(dataDir)
    if (formation === undefined) throw new Fault('not-found', `${dataDir} holds no cluster`)
    return await change(formation)
  } finally {
    lock.release()
  }
}

function findSlot(dataDir: string, id: number): { readonly slot: Slot } | undefined {
  const slot = readFormation(dataDir)?.slots.find((one) => one.id === id)
  return slot === undefined ? undefined : { slot }
}

type StatusNodes = { readonly nodes: readonly { readonly id: number; readonly name: string }[] }

/** A number stands for itself, also that of a member that was removed. */
async function findId(node: string, options: LeavingOptions): Promise<number> {
  if (/^[1-9][0-9]{0,8}$/.test(node)) return Number(node)
  const { nodes } = await ask<StatusNodes>(options, { path: '/v1/status' })
  const found = nodes.find(({ name }) => name === plainNode(node))
  if (found !== undefined) return found.id
  throw new Fault('not-found', `no member is called ${node}`, {
    next: '`atoll status` lists the members',
  })
}

/** The first node that answers. With a body it is a POST. */
async function ask<T>(
  { dataDir, ask: node }: LeavingOptions,
  call: { readonly path: string; readonly body?: unknown },
): Promise<T> {
  const method = call.body === undefined ? 'GET' : 'POST'
  const asked = { method, ...call, timeoutMs: askMs } as const
  return (await askFirst(findNodes(dataDir, node), ({ endpoint }) =>
    askAdmin(endpoint, asked),
  )) as T
}

function warn({ warnings }: Left): void {
  for (const warning of warnings) tell(`atoll: warning: ${warning}`)
}

function print({ isJson }: LeavingOptions, value: unknown, text: string): void {
  answer(isJson ? JSON.stringify(value) : text)
}

function describeDrain(state: DrainProgress): string {
  const { id, isUp, shardsLeft, bytesLeft, votesIn, leads, isDrained } = state
  if (isDrained) return `node ${id}: nothing left`
  const parts = [
    ...(isUp ? [] : ['it does not answer']),
    `${shardsLeft} shards (${size(bytesLeft)}) left`,
    ...(leads.length === 0 ? [] : [`leads ${leads.length} groups`]),
    ...(votesIn.length === 0 ? [] : [`votes in ${votesIn.length} groups`]),
    shardsLeft === 0 ? 'waiting for uploads that began before' : left(state.estimateMs),
  ]
  return `node ${id}: ${parts.join(', ')}`
}

function describeMoves(moves: MovesProgress): string {
  const { share, shardsLeft, bytesLeft, bytesPerSecond, estimateMs, draining } = moves
  const rate = bytesPerSecond === 0 ? '' : ` at ${size(bytesPerSecond)}/s`
  const all =
    shardsLeft === 0
      ? 'nothing is being moved'
      : `${shardsLeft} shards (${size(bytesLeft)}) to move${rate}, ${left(estimateMs)}`
  const limit = `moves may use ${Math.round(share * 100)} % of what disk and network give when idle`
  return [all, ...draining.map(describeDrain), limit].join('\n')
}

function left(estimateMs: number): string {
  return estimateMs < 0 ? 'time not known yet' : `about ${duration(estimateMs)}`
}
