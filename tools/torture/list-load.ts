// Lists in the keyspace: append by comparing the revision of the last read, and read. A lost append, one that came true
// twice, or one out of order shows in every later read.

import {
  check,
  formatViolation,
  HistoryRecorder,
  type ListInput,
  type ListOutput,
  listModel,
} from '../../sim/histories/index.ts'
import { range, txn } from './etcd-client.ts'
import { count, type Epoch, insist, type Load, pick, sleep } from './load.ts'
import type { NodePlace } from './machines.ts'

const clientCount = 3
const listCount = 6
const pauseMsMax = 80
const afterFailureMs = 200
const triesMax = 4

export function createListLoad(epoch: Epoch): Load {
  const { random, places, counts } = epoch
  const recorder = new HistoryRecorder<ListInput, ListOutput>()
  const keys = Array.from({ length: listCount }, (_, at) => `${epoch.name}l/${at}`)
  const seen = new Map<string, string | null>()
  let nextElement = 1

  const read = async (client: number, key: string, place: NodePlace): Promise<boolean> => {
    const call = recorder.called(client, { kind: 'read', key })
    const found = await range(place, key)
    if (found === undefined) {
      recorder.refused(call)
      return false
    }
    seen.set(key, found.value)
    recorder.returned(call, { elements: elementsOf(found.value) })
    return true
  }

  const append = async (client: number, key: string, place: NodePlace): Promise<boolean> => {
    const element = String(nextElement++)
    const call = recorder.called(client, { kind: 'append', key, element })
    for (let tries = 0; tries < triesMax; tries++) {
      const found = await range(place, key)
      if (found === undefined) break
      const elements = [...elementsOf(found.value), element]
      const compare = { key, target: 'MOD', revision: found.modRevision } as const
      const outcome = await txn(place, [compare], { key, value: elements.join(' ') })
      if (outcome.kind === 'refused') break
      if (outcome.kind === 'unknown') {
        count(counts, 'appends unknown')
        recorder.lost(call)
        return false
      }
      if (!outcome.answer.succeeded) continue
      count(counts, 'appends acknowledged')
      recorder.returned(call, { length: elements.length })
      return true
    }
    recorder.refused(call)
    return false
  }

  const client = async (number: number): Promise<void> => {
    while (!epoch.isOver) {
      await sleep(random.integer(pauseMsMax))
      const key = pick(keys, random)
      const place = pick(places, random)
      const isFine = random.chance(0.5)
        ? await append(number, key, place)
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
      const problems: string[] = []
      for (const place of places) {
        for (const key of keys) {
          const isRead = await insist(
            async () => (await read(clientCount, key, place)) || undefined,
          )
          if (isRead === undefined) problems.push(`node ${place.id} does not read ${key}`)
        }
      }
      const verdict = check(recorder.history(), listModel)
      count(counts, 'list operations judged', verdict.operations)
      if (verdict.kind === 'violated') problems.push(formatViolation(verdict, listModel))
      if (verdict.kind === 'unknown') problems.push(`lists: too wide to judge (${verdict.reason})`)
      return problems
    },
  }
}

function elementsOf(value: string | null): readonly string[] {
  return value === null || value === '' ? [] : value.split(' ')
}
