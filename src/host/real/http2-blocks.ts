// Blocks of headers on the way out. Lists that are frozen constants of their gateways are encoded once.

import type { HttpResponse } from '../host.ts'
import { encodeFields } from './hpack.ts'

export type Fields = readonly (readonly [string, string])[]

const keptBlocks = new WeakMap<Fields, Buffer>()
const keptAnswers = new WeakMap<Fields, Buffer>()

export function blockOf(fields: Fields): Buffer {
  return keep(keptBlocks, fields, () => encodeFields(fields))
}

export function statusBlock({ status, headers }: HttpResponse): Buffer {
  const whole = (): Buffer => encodeFields([[':status', String(status)], ...headers])
  return status === 200 ? keep(keptAnswers, headers, whole) : whole()
}

function keep(blocks: WeakMap<Fields, Buffer>, fields: Fields, encode: () => Buffer): Buffer {
  const known = blocks.get(fields)
  if (known !== undefined) return known
  const block = encode()
  if (Object.isFrozen(fields)) blocks.set(fields, block)
  return block
}
