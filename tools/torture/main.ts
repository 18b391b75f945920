// npm run torture -- [--kills 1000] [--seconds N] [--state DIR] [--port-offset N] [--fresh]
// npm run torture -- --netns --seconds N
//
// Real processes under load: three nodes of `atoll`, clients of the keyspace (registers, lists, locks, watches through
// etcd's JSON gateway) and of S3 at every node, kill -9 of one, two or all of them. In epochs: after each everything is
// started, histories are judged, replicas compared, and what earlier epochs wrote is read again. With --netns each node
// has a network of its own, and partitions, made by the kernel, and pauses join the kills.
//
// Goes on where it was left: --kills counts over all runs of one state directory. --seconds ends a run early.

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isHelpGiven } from '../usage.ts'
import { runEpoch } from './epoch.ts'
import { closeConnections } from './http.ts'
import type { Counts } from './load.ts'
import { formCluster, type FormedCluster, Machine, type NodePlace } from './machines.ts'
import { formAtAddresses, hostOf, Networks, whyNoNetworks } from './networks.ts'
import { addFacts, readState, type TortureState, writeState } from './state.ts'

const nodes = 3
const etcdPortDefault = 2_379
const killsPerEpoch = 40
const secondsPerEpoch = 90
const insideMark = 'ATOLL_TORTURE_INSIDE'
const bucket = 'predastore'

type Options = {
  readonly kills: number
  readonly seconds: number
  readonly directory: string
  readonly portOffset: number
  readonly hasNetworks: boolean
  readonly isFresh: boolean
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string' },
      seconds: { type: 'string' },
      state: { type: 'string', default: '.atoll-torture' },
      'port-offset': { type: 'string', default: '21000' },
      netns: { type: 'boolean', default: false },
      fresh: { type: 'boolean', default: false },
    },
  })
  const hasNetworks = values.netns
  const endless = Number.POSITIVE_INFINITY
  const isTimed = values.seconds !== undefined
  return {
    kills: values.kills === undefined ? (isTimed ? endless : 1_000) : Number(values.kills),
    seconds: values.seconds === undefined ? endless : Number(values.seconds),
    directory: resolve(values.state, hasNetworks ? 'netns' : 'loopback'),
    portOffset: Number(values['port-offset']),
    hasNetworks,
    isFresh: values.fresh,
  }
}

async function main(): Promise<number> {
  if (isHelpGiven(import.meta.filename)) return 0
  const options = readOptions()
  if (options.hasNetworks && process.env[insideMark] === undefined) {
    const why = whyNoNetworks()
    if (why !== undefined) {
      print(`torture: skipped, ${why}`)
      return 0
    }
    return await runInside()
  }
  if (options.isFresh) rmSync(options.directory, { recursive: true, force: true })
  const state = readState(options.directory)
  if (state.kills > 0) print(`going on after ${state.kills} kills in ${state.epochs} epochs`)
  const { machines, formed, networks } = await prepare(options)
  const stop = async (): Promise<void> => {
    networks?.heal()
    await Promise.all(machines.map((machine) => machine.stop()))
    closeConnections()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stop().finally(() => process.exit(130))
    })
  }
  try {
    return await runEpochs({ options, state, machines, formed, networks })
  } finally {
    await stop()
  }
}

/** The same program in namespaces of its own: network and mounts end with it. */
function runInside(): Promise<number> {
  const args = ['--net', '--mount', '--propagation', 'private', process.execPath]
  const child = spawn('unshare', [...args, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [insideMark]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => child.on('exit', (status) => resolve(status ?? 1)))
}

type Prepared = {
  readonly machines: readonly Machine[]
  readonly formed: FormedCluster
  readonly networks: Networks | undefined
}

async function prepare({ directory, portOffset, hasNetworks }: Options): Promise<Prepared> {
  const dataDir = join(directory, 'cluster')
  let formed: FormedCluster
  let networks: Networks | undefined
  if (hasNetworks) {
    formed = await formAtAddresses(dataDir, nodes)
    networks = new Networks(nodes)
    if (!networks.canDelay) print('torture: no delays, this kernel has no netem')
  } else {
    formed = await formCluster(dataDir, ['--port-offset', String(portOffset)])
  }
  const machines = formed.nodes.map(({ id, s3, dataDir: nodeDir }, at) => {
    const url = new URL(s3)
    const place: NodePlace = {
      id,
      host: hasNetworks ? hostOf(at) : url.hostname,
      etcdPort: etcdPortDefault + (hasNetworks ? 0 : portOffset),
      s3Port: hasNetworks ? undefined : Number(url.port),
      nodeDir,
      prefix: networks?.prefix(at) ?? [],
    }
    return new Machine(place)
  })
  return { machines, formed, networks }
}

type Running = Prepared & { readonly options: Options; readonly state: TortureState }

async function runEpochs({ options, state, machines, formed, networks }: Running): Promise<number> {
  const startedMs = Date.now()
  const secondsSoFar = state.seconds
  const secondsRun = (): number => (Date.now() - startedMs) / 1_000
  const isDone = (): boolean => state.kills >= options.kills || secondsRun() >= options.seconds
  const lost: string[] = []
  for (const machine of machines) {
    machine.onLost = (why) => lost.push(why)
    machine.start()
  }
  await Promise.all(machines.map((machine) => machine.ready()))
  const { accessKeyId, secretAccessKey, region } = formed
  const credential = { accessKeyId, secretAccessKey }
  const access = options.hasNetworks ? undefined : { credential, region, bucket }
  while (!isDone() && state.problems.length === 0) {
    const counts: Counts = new Map()
    const epochStartMs = Date.now()
    const result = await runEpoch({
      machines,
      networks,
      access,
      counts,
      state,
      number: state.epochs + 1,
      mustEnd: (kills) => {
        const seconds = (Date.now() - epochStartMs) / 1_000
        return isDone() || kills >= killsPerEpoch || seconds >= secondsPerEpoch || lost.length > 0
      },
      onKills: (kills) => {
        state.kills += kills
      },
    })
    state.epochs++
    state.seconds = Math.round(secondsSoFar + secondsRun())
    state.problems.push(...lost, ...result.problems)
    state.keyFacts = addFacts(state.keyFacts, result.keyFacts)
    state.objectFacts = addFacts(state.objectFacts, result.objectFacts)
    for (const [kind, number] of counts) state.counts[kind] = (state.counts[kind] ?? 0) + number
    writeState(options.directory, state)
    tell(state, result.problems.length + lost.length, (Date.now() - epochStartMs) / 1_000)
  }
  return summarize(state, options)
}

function tell(state: TortureState, problems: number, seconds: number): void {
  const acknowledged =
    (state.counts['writes acknowledged'] ?? 0) + (state.counts['objects put'] ?? 0)
  const verdict = problems === 0 ? 'ok' : 'FAILED'
  print(
    `epoch ${state.epochs}: ${verdict}, ${seconds.toFixed(0)} s; ${state.kills} kills and ${acknowledged} acknowledged writes in all`,
  )
}

function summarize(state: TortureState, { directory }: Options): number {
  for (const kind of Object.keys(state.counts).sort()) print(`  ${kind}: ${state.counts[kind]}`)
  for (const problem of state.problems) print(problem)
  const { kills, epochs, seconds } = state
  print(`${kills} kills in ${epochs} epochs, ${seconds} s; state in ${directory}`)
  print(state.problems.length === 0 ? 'no problem' : `${state.problems.length} problems`)
  return state.problems.length === 0 ? 0 : 1
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
