// Hrana over HTTP: what routes.ts loads with the first pipeline.

import { Fault, faultTable, toFault } from '../../../base/index.ts'
import type { HttpResponse } from '../../../host/index.ts'
import type { SqlDatabase } from '../../../sql/index.ts'
import { type AdminCall, answerJson, readBytes } from '../../admin/routes.ts'
import { strictUtf8 } from '../../s3/core/text.ts'
import type { Streams } from './streams.ts'
import { parsePipeline } from './wire.ts'

export { Streams } from './streams.ts'

const bodyBytesMax = 4 * 1024 * 1024

/** What fails before the first request runs is the whole response's error, as Hrana has it. */
export async function answerPipeline(
  { request, caller }: AdminCall,
  parts: { readonly streams: Streams; readonly database: () => Promise<SqlDatabase> },
): Promise<HttpResponse> {
  try {
    const pipeline = parsePipeline(textOf(await readBytes(request, bodyBytesMax)))
    return answerJson(200, await parts.streams.answer(await parts.database(), caller, pipeline))
  } catch (error) {
    const { code, message, next } = toFault(error)
    if (code === 'internal') throw error
    // As Hrana has errors, and as the rest of the port has them.
    const told = { code, message, ...(next === undefined ? {} : { next }) }
    const named = `ATOLL_${code.toUpperCase().replaceAll('-', '_')}`
    return answerJson(faultTable[code].httpStatus, { message, code: named, error: told })
  }
}

function textOf(body: Uint8Array): string {
  const text = strictUtf8(body)
  if (text !== undefined) return text
  throw new Fault('invalid', 'the body is not UTF-8')
}
