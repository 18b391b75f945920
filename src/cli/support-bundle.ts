// `atoll support bundle`: one archive with what somebody who helps needs to see, and without secrets.
//
// What goes in is chosen, not swept up: facts of the machine, the cluster's status, settings files, the ends of the
// journals, names and sizes of the files. Then every text loses the values that the data directory keeps secret,
// wherever they stand: keys, tokens, credentials, passwords are looked up in the directory itself, so that a journal
// line or a settings file that repeats one cannot carry it out.

import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import * as os from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Fault, utf8Encode } from '../base/index.ts'
import { askAdmin } from './admin-client.ts'
import { readText, reason } from './files.ts'
import { findNodes } from './known-nodes.ts'
import { readHolder } from '../host/real/lock.ts'
import { clusterFileNames, nodePaths } from './paths.ts'
import { hideSecrets, secretsIn } from './secrets.ts'
import { type TarEntry, tarOf } from './tar.ts'
import { answer, tell, withProgress } from './terminal.ts'

export type SupportOptions = {
  readonly dataDir: string
  /** Default: atoll-support-TIME.tar.gz here. */
  readonly out: string | undefined
  readonly isJson: boolean
}

const journalBytesMax = 4 * 1024 * 1024
const listedMax = 20_000
const askMs = 5_000

export async function bundle(options: SupportOptions): Promise<number> {
  const { dataDir } = options
  if (!existsSync(dataDir)) {
    throw new Fault('not-found', `${dataDir} does not exist`, {
      next: 'give the directory of a cluster or of a node with --data-dir',
    })
  }
  const made = new Date()
  const name = `atoll-support-${made.toISOString().replace(/[-:]|\.\d+/g, '')}`
  const out = options.out ?? `${name}.tar.gz`
  const parts = await withProgress(() => 'still collecting', collect(dataDir))
  const secrets = secretsIn(dataDir)
  const modifiedSeconds = Math.floor(made.getTime() / 1000)
  const entries = [...parts].map(
    ([path, text]): TarEntry => ({
      ...{ kind: 'file', path: `${name}/${path}`, mode: 0o600, modifiedSeconds },
      bytes: utf8Encode(hideSecrets(text, secrets)),
    }),
  )
  const archive = gzipSync(Buffer.concat([...tarOf(entries)]))
  try {
    writeFileSync(out, archive, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new Fault('exists', `cannot write ${out}: ${reason(error)}`, {
      next: 'name another file with --out',
    })
  }
  tell(
    `atoll: ${entries.length} files, without keys, tokens and passwords; look it through before you pass it on`,
  )
  answer(options.isJson ? JSON.stringify({ file: out, files: entries.length }) : out)
  return 0
}

async function collect(dataDir: string): Promise<ReadonlyMap<string, string>> {
  const parts = new Map<string, string>()
  parts.set('machine.json', json(machine(dataDir)))
  parts.set('status.json', json(await status(dataDir)))
  addSettings(parts, dataDir, '')
  for (const nodeDir of nodeDirsOf(dataDir)) {
    const place = nodeDir === dataDir ? 'node/' : `${basename(nodeDir)}/`
    addSettings(parts, nodeDir, place)
    const paths = nodePaths(nodeDir)
    const tail = readTail(paths.journal)
    if (tail !== undefined) parts.set(`${place}node.log`, tail)
    parts.set(`${place}files.txt`, listFiles(nodeDir))
    const pid = readHolder(paths.lock)
    const process = pid === undefined ? undefined : readText(`/proc/${pid}/status`)
    parts.set(`${place}process.txt`, process ?? 'not running')
  }
  return parts
}

/** The directories of nodes: those of a launcher, or the given one itself. */
function nodeDirsOf(dataDir: string): readonly string[] {
  const slots = readdirSync(dataDir).filter((name) => /^node-\d+$/.test(name))
  if (slots.length > 0) return slots.sort().map((name) => join(dataDir, name))
  return existsSync(nodePaths(dataDir).node) ? [dataDir] : []
}

function addSettings(parts: Map<string, string>, dir: string, place: string): void {
  for (const name of [...clusterFileNames, 'node.toml', 'cluster.json', 'formation.json']) {
    const text = readText(join(dir, name))
    if (text !== undefined) parts.set(`${place}${name}`, text)
  }
}

function machine(dataDir: string): object {
  const disk = statfsSync(dataDir)
  return {
    program: process.versions.node,
    platform: `${os.platform()} ${os.release()} ${os.arch()}`,
    processors: os.cpus().map(({ model }) => model),
    memory: { totalBytes: os.totalmem(), freeBytes: os.freemem() },
    load: os.loadavg(),
    upSeconds: Math.floor(os.uptime()),
    disk: { totalBytes: disk.blocks * disk.bsize, freeBytes: disk.bavail * disk.bsize },
    addresses: Object.values(os.networkInterfaces()).flatMap((all) => all?.map((one) => one.cidr)),
  }
}

/** What the nodes say; why not, when none answers. */
async function status(dataDir: string): Promise<unknown> {
  const call = { method: 'GET', path: '/v1/status', timeoutMs: askMs } as const
  try {
    const nodes = findNodes(dataDir, undefined)
    return await Promise.all(
      nodes.map(async ({ id, endpoint }) => {
        const said = await askAdmin(endpoint, call).catch((error: unknown) => reason(error))
        return { asked: id, said }
      }),
    )
  } catch (error) {
    return { unavailable: reason(error) }
  }
}

/** The end of a journal, from a whole line on; undefined when there is none. */
function readTail(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const bytes = Buffer.alloc(Math.min(size, journalBytesMax))
    readSync(file, bytes, 0, bytes.length, size - bytes.length)
    const text = bytes.toString('utf8')
    return bytes.length < size ? text.slice(text.indexOf('\n') + 1) : text
  } finally {
    closeSync(file)
  }
}

function listFiles(dir: string): string {
  const lines: string[] = []
  const waiting = ['']
  for (let at = waiting.pop(); at !== undefined && lines.length < listedMax; at = waiting.pop()) {
    for (const name of readdirSync(join(dir, at)).sort()) {
      const path = join(at, name)
      const { size, mtime } = lstatSync(join(dir, path))
      const isDirectory = lstatSync(join(dir, path)).isDirectory()
      if (isDirectory) waiting.push(path)
      lines.push(`${mtime.toISOString()} ${isDirectory ? '-' : size} ${path}`)
    }
  }
  return `${lines.slice(0, listedMax).join('\n')}\n`
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
