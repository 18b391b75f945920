// `atoll up`: forms a cluster on this machine if there is none, starts the nodes that do not run, and
// stays in the foreground until it is told to stop.
//
// Which nodes: all slots, or the one that --node names. A slot whose lock a living process holds is
// left alone (another launcher started it) and is part of the answer. A slot whose state is gone gets a
// new identity once the others serve.

import { watch } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Fault, isFault } from '../base/index.ts'
import { type FirstOperator, greetOperator } from './first-operator.ts'
import {
  type Formation,
  formCluster,
  isLost,
  readFormation,
  requireTopology,
  type Slot,
  writeFormation,
  nodeFileOf,
} from './formation.ts'
import { addSlot } from './grow.ts'
import { findNodes } from './known-nodes.ts'
import { type Lock, acquireLock, readHolder } from '../host/real/lock.ts'
import { hasIdentity, readNodeFile, writeNodeFile } from './node-dir.ts'
import { defaultCode, type PortFlags } from './options.ts'
import { launcherPaths, nodePaths } from './paths.ts'
import { planPorts, type PortPlan } from './ports.ts'
import { replaceLostSlot } from './replace.ts'
import { Supervisor, type SupervisorOptions } from './supervisor.ts'
import { answer, tell, withProgress } from './terminal.ts'
import { describeCluster, summarizeCluster } from './up-text.ts'
import { aborted, stopSignal } from './stop-signal.ts'

export type UpOptions = {
  readonly dataDir: string
  readonly nodes: number | undefined
  readonly rs: { readonly data: number; readonly parity: number } | undefined
  /** New nodes to take into a cluster that exists. */
  readonly addNodes: number
  /** Id of the one node to start. */
  readonly node: number | undefined
  readonly ports: PortFlags
  readonly dataThreads: number | undefined
  readonly etcd: SupervisorOptions['etcd']
  readonly sql: SupervisorOptions['sql']
  readonly encryptionKeyFile: string | undefined
  readonly snapshotDir: string | undefined
  readonly readLease: { readonly clockDriftRatio: number } | undefined
  readonly isJson: boolean
  readonly log: 'json' | 'file'
  readonly watches: boolean
}

/** Settles with the exit status. */
export async function up(options: UpOptions): Promise<number> {
  const stopping = stopSignal()
  const supervisor = new Supervisor(options)
  const marked = new Set<number>()
  try {
    const formation = await start({ options, supervisor, stopping, marked })
    if (formation === undefined) {
      await supervisor.stopAll()
      return 0
    }
    const { dataDir } = options
    const [asked] = findNodes(dataDir, options.node)
    const operator =
      asked === undefined
        ? undefined
        : await greetOperator(asked.endpoint, launcherPaths(dataDir).operatorPassword)
    print({ options, formation, supervisor, operator })
  } catch (error) {
    await supervisor.stopAll()
    unmarkNeverRun(options.dataDir, marked)
    throw error
  }
  if (options.watches) {
    // Sources that do not even load end the nodes, and the next change starts them again.
    const unwatch = watchSources(supervisor)
    await aborted(stopping)
    unwatch()
  } else await Promise.race([aborted(stopping), supervisor.untilEmpty()])
  await supervisor.stopAll()
  return stopping.aborted || !supervisor.hasLostNode ? 0 : 1
}

type Start = {
  readonly options: UpOptions
  readonly supervisor: Supervisor
  readonly stopping: AbortSignal
  /** Slots whose identity was first started by this launcher. */
  readonly marked: Set<number>
}

/** Undefined when it was told to stop before all was ready. */
async function start({
  options,
  supervisor,
  stopping,
  marked,
}: Start): Promise<Formation | undefined> {
  const { dataDir } = options
  const lock = await lockLauncher(dataDir)
  try {
    const known = readFormation(dataDir)
    let formation = known ?? (await form(options))
    if (known !== undefined) formation = adjust(options, known)
    const topology = requireTopology(dataDir)
    const chosen = chooseSlots(options, formation)
    const missing = chosen.filter((slot) => pidOf(dataDir, slot) === undefined)
    if (missing.length === 0 && options.addNodes === 0) throw allRun(options, chosen)
    const lost = missing.filter((slot) => isLost(dataDir, slot, topology))
    const sound = missing.filter((slot) => !lost.includes(slot))
    formation = markRun(dataDir, formation, { started: sound, marked })
    for (const slot of sound) supervisor.start(slot)
    const isReady = await Promise.race([
      supervisor.untilReady(sound).then(() => true),
      aborted(stopping).then(() => false),
    ])
    if (!isReady) return undefined
    for (const slot of lost) {
      const live = formation.slots.filter((other) => pidOf(dataDir, other) !== undefined)
      formation = await replaceLostSlot(dataDir, formation, { lost: slot, live })
      const fresh = formation.slots.find((other) => other.slot === slot.slot) ?? slot
      formation = markRun(dataDir, formation, { started: [fresh], marked })
      supervisor.start(fresh)
      await supervisor.untilReady([fresh])
    }
    return await grow({ options, supervisor, stopping, marked }, formation)
  } finally {
    lock.release()
  }
}

/** New nodes come one by one: each is a member before its process starts. */
async function grow(
  { options, supervisor, marked }: Start,
  formation: Formation,
): Promise<Formation> {
  const { dataDir } = options
  let grown = formation
  for (let added = 0; added < options.addNodes; added++) {
    const live = grown.slots.filter((slot) => pidOf(dataDir, slot) !== undefined)
    grown = await addSlot(dataDir, grown, live)
    const fresh = grown.slots.slice(-1)
    grown = markRun(dataDir, grown, { started: fresh, marked })
    for (const slot of fresh) supervisor.start(slot)
    await supervisor.untilReady(fresh)
  }
  return grown
}

const lockWaitMs = 60_000

/** Launchers take turns: one forms or replaces while the others wait. */
async function lockLauncher(dataDir: string): Promise<Lock> {
  const path = launcherPaths(dataDir).lock
  const startedMs = Date.now()
  const tryUntil = async (): Promise<Lock> => {
    for (;;) {
      try {
        return acquireLock(path, dataDir)
      } catch (error) {
        // Of several that wait, one gets it; the others go on waiting.
        if (!isFault(error, 'exists') || Date.now() - startedMs > lockWaitMs) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const describe = (): string => `waiting for another launcher (pid ${readHolder(path)})`
  return await withProgress(describe, tryUntil())
}

async function form(options: UpOptions): Promise<Formation> {
  if (options.node !== undefined) {
    throw new Fault(
      'not-found',
      `${options.dataDir} holds no cluster, so it has no node to start`,
      {
        next: 'form one first: atoll up',
      },
    )
  }
  const nodes = options.nodes ?? 3
  const rs = options.rs ?? defaultCode(nodes)
  if (rs.data + rs.parity > nodes) {
    throw new Fault('invalid', `--rs ${rs.data}+${rs.parity} needs ${rs.data + rs.parity} nodes`, {
      next: `give --nodes ${rs.data + rs.parity} or a smaller code`,
    })
  }
  const ports = planPorts(options.ports.offset, options.ports)
  tell(`atoll: making a cluster of ${nodes} in ${options.dataDir}`)
  return await formCluster(options.dataDir, { nodes, rs, ports })
}

/** Holds the flags against a cluster that exists: what was fixed at formation cannot be asked for anew. */
function adjust(options: UpOptions, formation: Formation): Formation {
  const { dataDir, nodes, rs } = options
  const next = `leave the flag out, or use another --data-dir for another cluster`
  if (nodes !== undefined && nodes !== formation.slots.length) {
    const what = `the cluster in ${dataDir} has ${formation.slots.length} nodes, not ${nodes}`
    throw new Fault('invalid', what, { next })
  }
  const topology = requireTopology(dataDir)
  if (rs !== undefined && (rs.data !== topology.rs.data || rs.parity !== topology.rs.parity)) {
    const { data, parity } = topology.rs
    throw new Fault('invalid', `the cluster in ${dataDir} codes ${data}+${parity}`, { next })
  }
  return movePorts(options, formation)
}

/** Ports of servers for people can be moved at any start; those between nodes are in the topology. */
function movePorts(options: UpOptions, formation: Formation): Formation {
  const { offset, ...flags } = options.ports
  const fixed = (['control', 'bulk'] as const).find((name) =>
    formation.slots.some((slot) => flags[name] !== undefined && flags[name] !== slot.ports[name]),
  )
  if (fixed !== undefined) {
    throw new Fault('invalid', `the ${fixed} port was fixed when the cluster was formed`, {
      next: `leave --${fixed}-port out`,
    })
  }
  if (offset !== 0 && formation.slots[0]?.ports.control !== planPorts(offset, flags).control) {
    throw new Fault('invalid', 'ports between nodes were fixed when the cluster was formed', {
      next: 'leave --port-offset out, or give the one that the cluster was formed with',
    })
  }
  if (Object.keys(flags).length === 0) return formation
  const moved = {
    ...formation,
    slots: formation.slots.map((slot) =>
      pidOf(options.dataDir, slot) === undefined
        ? { ...slot, ports: { ...slot.ports, ...flags } as PortPlan }
        : slot,
    ),
  }
  for (const slot of moved.slots) {
    const nodeDir = launcherPaths(options.dataDir).node(slot.slot)
    if (!hasIdentity(nodeDir)) continue
    const file = readNodeFile(nodeDir)
    writeNodeFile(nodeDir, nodeFileOf(slot.ports, file.id, file.founders))
  }
  writeFormation(options.dataDir, moved)
  return moved
}

function chooseSlots(options: UpOptions, formation: Formation): readonly Slot[] {
  const { node } = options
  if (node === undefined) return formation.slots
  const chosen =
    formation.slots.find((slot) => slot.id === node) ??
    formation.slots.find((slot) => slot.slot === node)
  if (chosen !== undefined) return [chosen]
  const ids = formation.slots.map((slot) => slot.id).join(', ')
  throw new Fault('not-found', `no node ${node} in ${options.dataDir}; it has ${ids}`)
}

function allRun(options: UpOptions, chosen: readonly Slot[]): Fault {
  const pids = chosen.map((slot) => `node ${slot.id} is pid ${pidOf(options.dataDir, slot)}`)
  return new Fault('exists', `nothing to start in ${options.dataDir}: ${pids.join(', ')}`, {
    next: `atoll status --data-dir ${options.dataDir}`,
  })
}

function pidOf(dataDir: string, slot: Slot): number | undefined {
  return readHolder(nodePaths(launcherPaths(dataDir).node(slot.slot)).lock)
}

/** Written before the process starts: from then on the identity may have voted. */
function markRun(
  dataDir: string,
  formation: Formation,
  { started, marked }: { readonly started: readonly Slot[]; readonly marked: Set<number> },
): Formation {
  const fresh = started.filter((slot) => !slot.hasRun)
  if (fresh.length === 0) return formation
  const names = new Set(fresh.map((slot) => slot.slot))
  for (const slot of names) marked.add(slot)
  const slots = formation.slots.map((slot) =>
    names.has(slot.slot) ? { ...slot, hasRun: true } : slot,
  )
  const written = { ...formation, slots }
  writeFormation(dataDir, written)
  return written
}

/** A start that failed before a node made its state leaves an identity that cannot have voted. */
function unmarkNeverRun(dataDir: string, marked: ReadonlySet<number>): void {
  const formation = readFormation(dataDir)
  if (formation === undefined) return
  const topology = requireTopology(dataDir)
  const isWrong = (slot: Slot): boolean => marked.has(slot.slot) && isLost(dataDir, slot, topology)
  if (!formation.slots.some(isWrong)) return
  const slots = formation.slots.map((slot) => (isWrong(slot) ? { ...slot, hasRun: false } : slot))
  writeFormation(dataDir, { ...formation, slots })
}

function print({
  options,
  formation,
  supervisor,
  operator,
}: {
  readonly options: UpOptions
  readonly formation: Formation
  readonly supervisor: Supervisor
  readonly operator: FirstOperator | undefined
}): void {
  const { dataDir } = options
  const topology = requireTopology(dataDir)
  const summary = summarizeCluster(topology, {
    nodes: formation.slots.flatMap((slot) => {
      const pid = supervisor.pidOf(slot.slot) ?? pidOf(dataDir, slot)
      const nodeDir = launcherPaths(dataDir).node(slot.slot)
      return pid === undefined ? [] : [{ slot, pid, nodeDir }]
    }),
    operator,
  })
  if (options.isJson) answer(JSON.stringify(summary))
  else answer(describeCluster(summary, dataDir))
}

const settleMs = 200

/** Restarts the nodes when a source changes; answers a function that ends it. */
function watchSources(supervisor: Supervisor): () => void {
  const sources = fileURLToPath(new URL('..', import.meta.url))
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  const restart = (): void => {
    if (running !== undefined) {
      timer = setTimeout(restart, settleMs)
      return
    }
    tell('atoll: sources changed, restarting the nodes one by one')
    running = supervisor
      .restartEach()
      .then(
        () => tell('atoll: restarted'),
        (error) =>
          tell(`atoll: a node does not start: ${error.message}\n  next: change the sources`),
      )
      .finally(() => {
        running = undefined
      })
  }
  const watcher = watch(sources, { recursive: true }, (_event, name) => {
    if (name === null || !name.endsWith('.ts') || name.endsWith('.test.ts')) return
    clearTimeout(timer)
    timer = setTimeout(restart, settleMs)
  })
  return () => {
    clearTimeout(timer)
    watcher.close()
  }
}
