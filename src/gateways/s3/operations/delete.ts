// DeleteObject and DeleteObjects. Deleting what is not there succeeds.

import type { Fault } from '../../../base/index.ts'
import type { HttpResponse } from '../../../host/index.ts'
import type { WriteCondition } from '../../../objects/index.ts'
import { readDocument } from '../body.ts'
import { type Call, emptyResponse, xmlResponse } from '../call.ts'
import { readWriteCondition } from '../core/conditions.ts'
import { accessDenied, notImplemented, shownMessage } from '../core/fault.ts'
import { checkKey } from '../core/names.ts'
import { deletion as right } from '../core/rights.ts'
import { XmlWriter } from '../core/xml.ts'
import { readDelete } from '../core/xml-read.ts'
import { findBucket } from './buckets.ts'

/** A thousand keys of 1,024 bytes, each byte escaped. */
const documentBytesMax = 8 * 1024 * 1024
/** Deletions under way at a time: enough to share a commit, few enough to leave room for others. */
const concurrencyMax = 32

export async function deleteObject(call: Call): Promise<HttpResponse> {
  const condition = readWriteCondition(call.headers)
  if (condition.kind === 'absent') throw notImplemented('DELETE with If-None-Match has no meaning.')
  await call.objects.delete(call.bucket, call.key, condition)
  return emptyResponse(204)
}

/** The faults of single keys are told in the document, in the order of the request. */
export async function deleteObjects(call: Call): Promise<HttpResponse> {
  const order = readDelete(await readDocument(call, documentBytesMax))
  await findBucket(call)
  const { objects } = order
  const failures: (Fault | undefined)[] = new Array(objects.length)
  let next = 0
  const work = async (): Promise<void> => {
    while (next < objects.length) {
      const index = next++
      const object = objects[index]
      if (object === undefined) return
      try {
        checkKey(object.key)
        const action = object.isVersioned ? right.versioned : right.action
        if (!call.permits(action, object.key)) throw accessDenied()
        await call.objects.delete(call.bucket, object.key, conditionOf(object.etag))
      } catch (error) {
        failures[index] = call.faultOf(error)
      }
    }
  }
  const workers: Promise<void>[] = []
  for (let i = 0; i < Math.min(concurrencyMax, objects.length); i++) workers.push(work())
  await Promise.all(workers)
  const xml = new XmlWriter().root('DeleteResult')
  objects.forEach(({ key }, index) => {
    const fault = failures[index]
    if (fault === undefined) {
      if (!order.isQuiet) xml.open('Deleted').text('Key', key).close('Deleted')
      return
    }
    xml.open('Error').text('Key', key).text('Code', fault.s3.code)
    xml.text('Message', shownMessage(fault)).close('Error')
  })
  return xmlResponse(xml.close('DeleteResult').finish())
}

function conditionOf(etag: string | undefined): WriteCondition {
  if (etag === undefined) return { kind: 'none' }
  if (etag === '*') throw notImplemented('The delete condition ETag * is not implemented.')
  return { kind: 'match', etag }
}
