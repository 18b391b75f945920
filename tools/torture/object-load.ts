// Objects through the S3 gateways of all nodes: put, get, delete. An object is a register whose value is the hash of
// its bytes; every body read is hashed, so no object may be lost, half there, or other bytes.

import { digestHex } from '../../src/base/index.ts'
import {
  check,
  formatViolation,
  HistoryRecorder,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from '../../sim/histories/index.ts'
import { signed } from '../../sim/workloads/s3-signing.ts'
import { type Answer, ask, type Outcome } from './http.ts'
import { count, type Epoch, insist, type Load, pick, sleep } from './load.ts'
import type { Credential, NodePlace } from './machines.ts'

const clientCount = 4
const keyCount = 24
const pauseMsMax = 60
const afterFailureMs = 200
const timeoutMs = 20_000
const noBody = new Uint8Array(0)

export type ObjectAccess = {
  readonly credential: Credential
  readonly region: string
  readonly bucket: string
}

export function createObjectLoad(epoch: Epoch, access: ObjectAccess): Load {
  const { random, counts } = epoch
  const places = epoch.places.filter(({ s3Port }) => s3Port !== undefined)
  const recorder = new HistoryRecorder<RegisterInput, RegisterOutput>()
  const keys = Array.from({ length: keyCount }, (_, at) => `${epoch.name}o/${at}`)
  const seen = new Map<string, string | null>()
  const problems: string[] = []

  const read = async (client: number, key: string, place: NodePlace): Promise<boolean> => {
    const call = recorder.called(client, { kind: 'read', key })
    const value = await readObject(place, access, key)
    if (value === undefined) {
      count(counts, 'object reads without an answer')
      recorder.refused(call)
      return false
    }
    seen.set(key, value)
    count(counts, 'objects read')
    recorder.returned(call, { kind: 'read', value })
    return true
  }

  const write = async (client: number, key: string, place: NodePlace): Promise<boolean> => {
    const isDelete = random.chance(0.15)
    const body = isDelete
      ? noBody
      : Buffer.from(random.bytes(drawBytes(random.integer(100), random)))
    const value = isDelete ? null : digestHex('sha256', body)
    const call = recorder.called(client, { kind: 'write', key, value })
    const method = isDelete ? 'DELETE' : 'PUT'
    const outcome = await askObject(place, access, { method, key, body })
    const isDone = outcome.kind === 'answered' && outcome.answer.status < 300
    if (isDone) {
      count(counts, isDelete ? 'objects deleted' : 'objects put')
      recorder.returned(call, { kind: 'write' })
    } else if (outcome.kind === 'refused') recorder.refused(call)
    else {
      count(counts, 'object writes unknown')
      recorder.lost(call)
    }
    return isDone
  }

  const client = async (number: number): Promise<void> => {
    while (!epoch.isOver) {
      await sleep(random.integer(pauseMsMax))
      const key = pick(keys, random)
      const place = pick(places, random)
      const isFine = random.chance(0.5)
        ? await write(number, key, place)
        : await read(number, key, place)
      if (!isFine) await sleep(afterFailureMs)
    }
  }

  return {
    run: async () => {
      await Promise.all(Array.from({ length: clientCount }, (_, number) => client(number)))
    },
    facts: () => seen,
    async judge() {
      for (const place of places) {
        for (const key of keys) {
          const isRead = await insist(
            async () => (await read(clientCount, key, place)) || undefined,
          )
          if (isRead === undefined) problems.push(`node ${place.id} does not read object ${key}`)
        }
      }
      const verdict = check(recorder.history(), registerModel)
      count(counts, 'object operations judged', verdict.operations)
      if (verdict.kind === 'violated') problems.push(formatViolation(verdict, registerModel))
      if (verdict.kind === 'unknown')
        problems.push(`objects: too wide to judge (${verdict.reason})`)
      return problems
    },
  }
}

/** Mostly small, some beside the chunk's inline limit, few of several chunks. */
function drawBytes(draw: number, random: { integer(limit: number): number }): number {
  if (draw < 60) return 1 + random.integer(4_000)
  if (draw < 97) return random.integer(200_000)
  return 1_000_000 + random.integer(5_000_000)
}

/** The hash of its bytes; null: no such object; undefined: no answer. */
export async function readObject(
  place: NodePlace,
  access: ObjectAccess,
  key: string,
): Promise<string | null | undefined> {
  const outcome = await askObject(place, access, { method: 'GET', key, body: noBody })
  if (outcome.kind !== 'answered') return undefined
  const { status, body } = outcome.answer
  if (status === 404) return null
  return status === 200 ? digestHex('sha256', body) : undefined
}

function askObject(
  place: NodePlace,
  { credential, region, bucket }: ObjectAccess,
  {
    method,
    key,
    body,
  }: { readonly method: string; readonly key: string; readonly body: Uint8Array },
): Promise<Outcome<Answer>> {
  const { host, s3Port: port = 0 } = place
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const call = {
    method,
    path: `/${bucket}/${key}`,
    query: [],
    headers: [],
    host: `${host}:${port}`,
    body,
  }
  const { target, headers } = signed(call, { key: credential, region, timestamp })
  return ask({ host, port, method, target, headers: Object.fromEntries(headers), body, timeoutMs })
}
