// A bootstrap file: joins a machine without a person (cloud-init writes it). JSON, readable by its owner only, because it
// may hold a token; destroyed once the machine is a member.
//
//   {"controllers": ["https://10.11.12.1:7777"], "token": "at1...", "name": "rpi3", "bind": "10.11.12.3",
//    "region": "eu", "zone": "a", "labels": {"rack": "r12"}, "caps": ["ebs"], "portOffset": 0}
//
// Instead of "token": "tokenFile", a file beside it; or "cluster", its identity, to wait for an operator, with "pin",
// the authority's, when it is known. Without "controllers" the local network is searched.

import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import * as v from 'valibot'
import { Fault } from '../base/index.ts'
import { parseEndpoint, parseHost } from '../cluster/files.ts'
import { checkLabels, describeIssue, topologyDefaults } from '../cluster/index.ts'
import type { Address } from '../host/index.ts'
import { type MachineFlags, parseCaps, parseName } from './admin-flags.ts'
import { readText, requireText } from './files.ts'
import { planPorts } from './ports.ts'

/** Where a machine wants to be a member, and what it shows for it. */
export type JoinTarget = {
  readonly machine: MachineFlags
  /** Asked in turn; empty: searched for. */
  readonly controllers: readonly Address[]
  readonly token: string | undefined
  readonly cluster: string | undefined
  readonly pin: string | undefined
}

const fileSchema = v.strictObject({
  controllers: v.optional(
    v.pipe(v.array(v.pipe(v.string(), v.maxLength(300))), v.maxLength(32)),
    [],
  ),
  token: v.optional(v.pipe(v.string(), v.maxLength(256))),
  tokenFile: v.optional(v.pipe(v.string(), v.maxLength(1024))),
  cluster: v.optional(v.pipe(v.string(), v.maxLength(64))),
  pin: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{32,64}$/))),
  name: v.optional(v.pipe(v.string(), v.maxLength(63))),
  bind: v.pipe(v.string(), v.maxLength(253)),
  region: v.optional(v.pipe(v.string(), v.maxLength(63)), topologyDefaults.region),
  zone: v.optional(v.pipe(v.string(), v.maxLength(63)), 'a'),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  caps: v.optional(v.pipe(v.array(v.string()), v.maxLength(32)), []),
  portOffset: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(50_000)), 0),
})

export const defaultBootstrap = (dataDir: string): string => join(dataDir, 'bootstrap.json')

/** Undefined when there is no such file. Faults 'denied' for one that others may read, 'invalid' that names the field. */
export function readBootstrap(path: string): JoinTarget | undefined {
  if (!existsSync(path)) return undefined
  requirePrivate(path)
  const parsed = v.safeParse(fileSchema, parseJson(requireText(path)))
  if (!parsed.success) {
    const { path: keys, what } = describeIssue(parsed.issues[0])
    throw new Fault(
      'invalid',
      [path, ...(keys.length > 0 ? [keys.join('.')] : []), what].join(': '),
      {
        next: '`atoll start --help` shows what is in it',
      },
    )
  }
  const file = parsed.output
  const token = file.token ?? tokenOf(path, file.tokenFile)
  if (token === undefined && file.cluster === undefined) {
    throw new Fault('invalid', `${path}: neither "token", "tokenFile" nor "cluster" is there`)
  }
  const { controllers, cluster, pin, name = hostname() } = file
  checkLabels(file.labels)
  return {
    machine: {
      region: parseName(`${path}: region`, file.region),
      zone: parseName(`${path}: zone`, file.zone),
      name: parseName(`${path}: name`, name),
      bind: parseHost(`${path}: bind`, file.bind),
      caps: file.caps.length === 0 ? [] : parseCaps(file.caps.join()),
      labels: file.labels,
      ports: planPorts(file.portOffset, {}),
    },
    controllers: controllers.map((text) =>
      parseEndpoint(`${path}: controllers`, text, topologyDefaults.adminPort),
    ),
    token,
    cluster,
    pin,
  }
}

function tokenOf(path: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  const full = resolve(dirname(path), file)
  requirePrivate(full)
  return requireText(full).trim()
}

function requirePrivate(path: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode
  if (mode === undefined || (mode & 0o077) === 0) return
  throw new Fault('denied', `${path} can be read by others`, { next: `chmod 600 ${path}` })
}

/** Overwrites the file and the token file that it names, and removes them. */
export function shredBootstrap(path: string): void {
  const text = readText(path)
  if (text === undefined) return
  const parsed = v.safeParse(fileSchema, parseJson(text))
  const file = parsed.success ? parsed.output.tokenFile : undefined
  if (file !== undefined) shred(resolve(dirname(path), file))
  shred(path)
}

function shred(path: string): void {
  if (!existsSync(path)) return
  const bytes = statSync(path).size
  const opened = openSync(path, 'r+')
  writeSync(opened, new Uint8Array(bytes))
  fsyncSync(opened)
  closeSync(opened)
  rmSync(path)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
