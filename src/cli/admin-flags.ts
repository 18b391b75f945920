// Flags of init, join and start that say what a machine is: its name, where it is, what it can do, at which
// address the others reach it.

import { resolve } from 'node:path'
import { Fault } from '../base/index.ts'
import { parseEndpoint, parseHost, parseHostList } from '../cluster/files.ts'
import { checkLabels, topologyDefaults } from '../cluster/index.ts'
import type { InitOptions } from './admin-init.ts'
import type { JoinOptions } from './admin-join.ts'
import { requireText } from './files.ts'
import { parseCode, parseCount, parsePorts, type PortFlags } from './options.ts'
import { planPorts, type PortPlan } from './ports.ts'

export type RawFlags = Readonly<Record<string, string | boolean | undefined>>

/** What a machine says of itself. */
export type MachineFlags = {
  readonly region: string
  readonly zone: string
  readonly name: string
  readonly bind: string
  /** Empty: all there are. */
  readonly caps: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly ports: PortPlan
}

export const nodesMax = 1024
const capsMax = 32

export function readMachine(raw: RawFlags): MachineFlags {
  const ports: PortFlags = parsePorts(raw as Record<string, string>)
  return {
    region: parseName('--region', requireFlag(raw, 'region', '--region')),
    zone: parseName('--az', requireFlag(raw, 'az', '--az')),
    name: parseName('--node', requireFlag(raw, 'node', '--node')),
    bind: parseHost('--bind', requireFlag(raw, 'bind', '--bind')),
    caps: parseCaps(textOf(raw, 'cap')),
    labels: parseLabels(textOf(raw, 'label')),
    ports: planPorts(ports.offset, ports),
  }
}

export function readInit(raw: RawFlags): InitOptions {
  return {
    dataDir: resolve(readDataDir(raw)),
    machine: readMachine(raw),
    nodes: readCount(raw, 'nodes', '--nodes'),
    storageNodes: readStorageNodes(raw),
    rs: readCode(raw),
    isForced: raw.force === true,
    waits: raw.wait !== false,
    isJson: raw.json === true,
  }
}

export function readJoin(raw: RawFlags): JoinOptions {
  const at = textOf(raw, 'host') ?? textOf(raw, 'leader')
  const file = textOf(raw, 'tokenFile')
  return {
    dataDir: resolve(readDataDir(raw)),
    machine: readMachine(raw),
    at: at === undefined ? undefined : parseEndpoint('--host', at, topologyDefaults.adminPort),
    token: textOf(raw, 'token') ?? (file === undefined ? undefined : requireText(file).trim()),
    cluster: textOf(raw, 'cluster'),
    pin: parsePin(textOf(raw, 'pin')),
    isForced: raw.force === true,
    waits: raw.wait !== false,
    isJson: raw.json === true,
  }
}

/** Both names of the one list; given twice they must agree. */
export function readStorageNodes(raw: RawFlags): readonly string[] | undefined {
  const ours = textOf(raw, 'storageNodes')
  const theirs = textOf(raw, 'predastoreNodes')
  if (ours !== undefined && theirs !== undefined && ours !== theirs) {
    throw new Fault('invalid', '--storage-nodes and --predastore-nodes are two names of one list', {
      next: 'give one of them',
    })
  }
  const text = ours ?? theirs
  if (text === undefined) return undefined
  return parseHostList(ours === undefined ? '--predastore-nodes' : '--storage-nodes', text)
}

/** `--data-dir`, or its other name `--hive-dir`. */
export function readDataDir(raw: RawFlags): string {
  const ours = textOf(raw, 'dataDir')
  const theirs = textOf(raw, 'hiveDir')
  if (ours !== undefined && theirs !== undefined && ours !== theirs) {
    throw new Fault('invalid', '--data-dir and --hive-dir are two names of one flag', {
      next: 'give one of them',
    })
  }
  const dir = ours ?? theirs
  if (dir !== undefined && dir !== '') return dir
  throw new Fault('invalid', '--data-dir is missing', { next: 'give a directory for this node' })
}

export function readCount(raw: RawFlags, name: string, flag: string): number | undefined {
  const text = textOf(raw, name)
  return text === undefined ? undefined : parseCount(flag, text, [1, nodesMax])
}

export function readCode(raw: RawFlags): { data: number; parity: number } | undefined {
  const text = textOf(raw, 'rs')
  return text === undefined ? undefined : parseCode(text)
}

export function textOf(raw: RawFlags, name: string): string | undefined {
  const value = raw[name]
  return typeof value === 'string' ? value : undefined
}

export function requireFlag(raw: RawFlags, name: string, flag: string): string {
  const text = textOf(raw, name)
  if (text !== undefined && text !== '') return text
  throw new Fault('invalid', `${flag} is missing`, { next: 'see --help for an example' })
}

/** Names of nodes, regions and zones. */
export function parseName(flag: string, text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(text)) return text
  const what = `${flag} '${text.slice(0, 64)}': expected 1 to 63 letters, digits, dots and hyphens`
  throw new Fault('invalid', what)
}

/** Of an authority, in hexadecimal: its first 128 bits or all. */
function parsePin(text: string | undefined): string | undefined {
  if (text === undefined || /^[0-9a-f]{32,64}$/.test(text)) return text
  throw new Fault('invalid', '--pin: expected 32 hexadecimal digits', {
    next: 'atoll admin authority list shows it on a member',
  })
}

/** 'ebs,ec2,nats': in order, without repetition. */
export function parseCaps(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  const caps = text.split(',').map((cap) => cap.trim())
  for (const cap of caps) {
    if (/^[a-z][a-z0-9-]{0,31}$/.test(cap)) continue
    throw new Fault('invalid', `--cap '${cap.slice(0, 40)}': expected names such as ebs,ec2,nats`)
  }
  const unique = [...new Set(caps)]
  if (unique.length <= capsMax) return unique
  throw new Fault('invalid', `--cap: more than ${capsMax} capabilities`)
}

/** 'rack=r12,dc=fra-1'. Fault 'invalid' also for names and values that no label has. */
export function parseLabels(text: string | undefined): Readonly<Record<string, string>> {
  const pairs = (text === undefined ? [] : text.split(',')).map((pair): [string, string] => {
    const at = pair.indexOf('=')
    if (at !== -1) return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    throw new Fault('invalid', `--label '${pair.slice(0, 64)}': expected KEY=VALUE`)
  })
  const labels = Object.fromEntries(pairs)
  checkLabels(labels)
  return labels
}
