// A directory on its way to become a node's: unpaired until somebody brings an address and a secret, by page, by file,
// or by a command in another terminal. Where it stands is on the disk (D/enrolment.json), so that a process that was
// killed goes on:
//
//   unpaired   nothing is asked; the setup page waits
//   pending    a cluster is asked, again and again, until it or an operator has decided
//   joining    the directory is a node's, which has not been seen online yet
//   online
//
// What cannot succeed by asking again (a token that was used, a rejection) leads back to unpaired with the reason; a
// bootstrap file, which nobody looks at, ends the process with the reason's exit status instead.

import { existsSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { Fault, faultTable, fromHex, toFault } from '../base/index.ts'
import { parseEndpoint, parseHost } from '../cluster/files.ts'
import { formatWords, topologyDefaults } from '../cluster/index.ts'
import type { Address, Host } from '../host/index.ts'
import { createRealHost } from '../host/real/index.ts'
import { parseCaps, parseLabels, parseName } from './admin-flags.ts'
import { enrol, keepKeys } from './admin-join.ts'
import { pause } from './background.ts'
import {
  defaultBootstrap,
  type JoinTarget,
  readBootstrap,
  shredBootstrap,
} from './bootstrap-file.ts'
import { readText, writeText } from './files.ts'
import { isAlive } from '../host/real/lock.ts'
import { hasIdentity } from './node-dir.ts'
import { isPairingCode, pairByWords } from './pair-by-words.ts'
import { finishUndisturbed } from './placing.ts'
import { planPorts } from './ports.ts'
import { type SetupForm, type SetupState, serveSetupPage } from './setup-page.ts'
import type { StartOptions } from './start.ts'
import { answer, describeFault, tell } from './terminal.ts'

type Progress = {
  state: SetupState['state']
  target: JoinTarget | undefined
  message: string
  isFailure: boolean
}

const addressSchema = v.object({ host: v.string(), port: v.pipe(v.number(), v.integer()) })
const portsSchema = v.object({
  control: v.pipe(v.number(), v.integer()),
  bulk: v.pipe(v.number(), v.integer()),
  admin: v.pipe(v.number(), v.integer()),
  s3: v.pipe(v.number(), v.integer()),
  s3Tls: v.pipe(v.number(), v.integer()),
})
const progressSchema = v.object({
  version: v.literal(1),
  state: v.picklist(['unpaired', 'pending', 'joining', 'online']),
  target: v.optional(
    v.object({
      machine: v.object({
        region: v.string(),
        zone: v.string(),
        name: v.string(),
        bind: v.string(),
        caps: v.array(v.string()),
        labels: v.record(v.string(), v.string()),
        ports: portsSchema,
      }),
      controllers: v.array(addressSchema),
      token: v.optional(v.string()),
      cluster: v.optional(v.string()),
      pin: v.optional(v.string()),
    }),
  ),
})

export const progressPath = (dataDir: string): string => join(dataDir, 'enrolment.json')

/** Durable before it is acted upon; secret, because it may hold a token. */
export function writeProgress(dataDir: string, progress: Pick<Progress, 'state' | 'target'>): void {
  const { state, target } = progress
  const text = `${JSON.stringify({ version: 1, state, target })}\n`
  writeText(progressPath(dataDir), text, { isSecret: true })
}

function readProgress(dataDir: string): Progress {
  const parsed = v.safeParse(progressSchema, parseJson(readText(progressPath(dataDir)) ?? ''))
  const bare = { message: '', isFailure: false }
  if (!parsed.success) return { state: 'unpaired', target: undefined, ...bare }
  const { state, target } = parsed.output
  if (target === undefined) return { state: 'unpaired', target: undefined, ...bare }
  const { token, cluster, pin } = target
  return { state, target: { ...target, token, cluster, pin }, ...bare }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** True once the directory is a node's; false when told to stop before. The caller holds the directory's lock. */
export async function becomeMember(options: StartOptions, signal: AbortSignal): Promise<boolean> {
  const { dataDir } = options
  const host = createRealHost({
    rootPath: dataDir,
    journal: { format: options.log, level: options.level, name: 'setup' },
  })
  const bootstrap = options.bootstrap ?? defaultBootstrap(dataDir)
  const progress = readProgress(dataDir)
  const byFile = progress.target === undefined ? readBootstrap(bootstrap) : undefined
  if (options.bootstrap !== undefined && progress.target === undefined && byFile === undefined) {
    throw new Fault('not-found', `${bootstrap} is missing`)
  }
  if (byFile !== undefined) take(dataDir, progress, byFile)
  const isUnattended = existsSync(bootstrap)
  const setup = await openSetup(host, { options, progress })
  try {
    for (const url of setup.urls)
      tell(`atoll: this machine is ${progress.state}; set it up at ${url}`)
    if (options.isJson === true) {
      const { fingerprint, urls } = setup
      answer(JSON.stringify({ event: 'unpaired', state: progress.state, fingerprint, urls }))
    }
    const isMember = await untilMember(host, { options, progress, isUnattended }, signal)
    if (isMember) shredBootstrap(bootstrap)
    if (isMember && options.isJson === true) answer(JSON.stringify({ event: 'paired' }))
    return isMember
  } finally {
    await setup.close()
  }
}

/** At first a join takes no longer than a blink; who waits for an operator may wait for hours. */
const commandLookMs = 5

/** True once the command with this process id has made the directory a node's; false when it ended without. */
export async function awaitCommand(
  dataDir: string,
  pid: number,
  signal: AbortSignal,
): Promise<boolean> {
  for (let waitMs = commandLookMs; !signal.aborted; waitMs = Math.min(lookMs, waitMs * 1.01)) {
    if (isTakenOver(dataDir)) return true
    if (!isAlive(pid)) return isTakenOver(dataDir)
    await pause(waitMs)
  }
  return false
}

function take(dataDir: string, progress: Progress, target: JoinTarget): void {
  progress.target = target
  progress.state = 'pending'
  progress.message = 'asking the cluster'
  progress.isFailure = false
  writeProgress(dataDir, progress)
}

type Setup = { readonly options: StartOptions; readonly progress: Progress }

async function openSetup(host: Host, { options, progress }: Setup) {
  const { dataDir, portOffset, bind } = options
  const ports = planPorts(portOffset, {})
  const keys = await keepKeys(host, dataDir, hostname())
  const { keyHash } = await host.pki.readRequest(keys.node.requestPem)
  const fingerprint = formatWords((fromHex(keyHash) ?? new Uint8Array(0)).subarray(0, 8))
  let typed: SetupForm = {
    controller: '',
    secret: '',
    name: /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(hostname()) ? hostname() : 'node',
    bind: bind ?? '',
    region: topologyDefaults.region,
    zone: 'a',
    caps: '',
    labels: '',
  }
  const page = await serveSetupPage(host, {
    port: ports.admin,
    bind,
    state: () => ({ ...progress, fingerprint, form: typed }),
    submit(form) {
      typed = { ...form, secret: '' }
      if (progress.state !== 'unpaired') return
      try {
        take(dataDir, progress, targetOf(form, portOffset))
      } catch (error) {
        progress.message = describeFault(toFault(error))
        progress.isFailure = true
      }
    },
  })
  return { ...page, fingerprint }
}

function targetOf(form: SetupForm, portOffset: number): JoinTarget {
  return {
    machine: {
      region: parseName('Region', form.region),
      zone: parseName('Availability zone', form.zone),
      name: parseName('Name', form.name),
      bind: parseHost('Address of this machine', form.bind),
      caps: form.caps === '' ? [] : parseCaps(form.caps),
      labels: form.labels === '' ? {} : parseLabels(form.labels),
      ports: planPorts(portOffset, {}),
    },
    controllers: [
      parseEndpoint('Address of a member', form.controller, topologyDefaults.adminPort),
    ],
    token: form.secret,
    cluster: undefined,
    pin: undefined,
  }
}

const lookMs = 100
const waitMsMin = 1_000
const waitMsMax = 60_000

async function untilMember(
  host: Host,
  setup: Setup & { readonly isUnattended: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  const { options, progress } = setup
  let waitMs = waitMsMin
  while (!signal.aborted) {
    if (isTakenOver(options.dataDir)) return true
    const { target } = progress
    if (target === undefined) {
      await pause(lookMs)
      continue
    }
    try {
      await askEach(host, { ...setup, target }, signal)
      return true
    } catch (error) {
      const fault = toFault(error)
      if (fault.code === 'cancelled') return false
      if (fault.code === 'internal' && fault.cause !== undefined) throw error
      const isWorthAgain = faultTable[fault.code].isRetryable
      if (!isWorthAgain && setup.isUnattended) throw error
      progress.message = describeFault(fault)
      progress.isFailure = true
      tell(`atoll: ${progress.message}`)
      if (!isWorthAgain) giveUp(options.dataDir, progress)
      else {
        await idle(waitMs * (0.5 + Math.random()), { dataDir: options.dataDir, signal })
        waitMs = Math.min(waitMsMax, 2 * waitMs)
      }
    }
  }
  return false
}

function giveUp(dataDir: string, progress: Progress): void {
  progress.state = 'unpaired'
  progress.target = undefined
  rmSync(progressPath(dataDir), { force: true })
}

async function idle(
  ms: number,
  { dataDir, signal }: { readonly dataDir: string; readonly signal: AbortSignal },
): Promise<void> {
  const endMs = Date.now() + ms
  while (Date.now() < endMs && !signal.aborted && !hasIdentity(dataDir)) await pause(lookMs)
}

/** `atoll admin init` or `join` in another terminal have made the directory a node's, and are done with it. */
function isTakenOver(dataDir: string): boolean {
  return hasIdentity(dataDir) && finishUndisturbed(dataDir)
}

/** The first controller that can be reached decides. */
async function askEach(
  host: Host,
  { options, progress, target }: Setup & { readonly target: JoinTarget },
  signal: AbortSignal,
): Promise<void> {
  const places: readonly (Address | undefined)[] =
    target.controllers.length === 0 ? [undefined] : target.controllers
  let last: unknown
  for (const at of places) {
    try {
      return await askOne(host, { options, progress, target, at }, signal)
    } catch (error) {
      if (toFault(error).fields.reason !== 'unreachable') throw error
      last = error
    }
  }
  throw last
}

async function askOne(
  host: Host,
  {
    options,
    progress,
    target,
    at,
  }: Setup & { readonly target: JoinTarget; readonly at: Address | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { dataDir } = options
  const { machine, cluster, pin } = target
  let { token } = target
  if (token !== undefined && at !== undefined && isPairingCode(token)) {
    const keys = await keepKeys(host, dataDir, machine.name)
    const { keyHash } = await host.pki.readRequest(keys.node.requestPem)
    token = await pairByWords(host, { at, words: token, keyHash })
    // The words are used up: from here on the token counts.
    progress.target = { ...target, token }
    writeProgress(dataDir, progress)
  }
  const asked = {
    dataDir,
    machine,
    at,
    token,
    cluster,
    pin,
    isForced: false,
    waits: true,
    isJson: false,
  }
  await enrol(asked, signal, {
    holdsPorts: true,
    onPending(fingerprint) {
      progress.message = `waiting for an operator: atoll admin approve ${machine.name} (key ${fingerprint})`
      progress.isFailure = false
    },
  })
  progress.state = 'joining'
  progress.message = 'this machine is a member; its node starts'
  progress.isFailure = false
  writeProgress(dataDir, { state: 'joining', target: undefined })
}
