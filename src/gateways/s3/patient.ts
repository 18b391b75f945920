// Answers to work that may take long (joining thousands of parts, copying gigabytes). Clients give up
// after a minute of silence and try again, so that the work is never done. As S3 does: after a short
// while the status 200 goes out, then a space now and then, then the document; if the work has failed by
// then the document is an <Error>, which clients of these operations look for.

import { utf8Encode } from '../../base/index.ts'
import type { Clock, HttpResponse } from '../../host/index.ts'
import { type Headers, xmlResponse } from './call.ts'
import { xmlProlog } from './core/xml.ts'

/** Silence before the status is sent; failures within it have their own status. */
const graceMs = 5_000
const beatMs = 5_000

/**
 * Waits for `work`, which answers a document with its prolog. `renderError` makes the error document.
 * `headers` are known beforehand.
 */
export async function answerPatiently(
  work: Promise<{ readonly xml: string; readonly headers: Headers }>,
  context: { readonly clock: Clock; readonly renderError: (error: unknown) => string },
): Promise<HttpResponse> {
  if (await isSettledWithin(work, context.clock, graceMs)) {
    const { xml, headers } = await work
    return xmlResponse(xml, headers)
  }
  return {
    status: 200,
    headers: [['content-type', 'application/xml']],
    body: beat(work, context),
  }
}

async function* beat(
  work: Promise<{ readonly xml: string }>,
  context: { readonly clock: Clock; readonly renderError: (error: unknown) => string },
): AsyncGenerator<Uint8Array, void, undefined> {
  yield utf8Encode(xmlProlog)
  while (!(await isSettledWithin(work, context.clock, beatMs))) yield utf8Encode(' ')
  let xml: string
  try {
    ;({ xml } = await work)
  } catch (error) {
    xml = context.renderError(error)
  }
  yield utf8Encode(xml.slice(xmlProlog.length))
}

function isSettledWithin(work: Promise<unknown>, clock: Clock, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, () => resolve(false))
    const settled = (): void => {
      timer.cancel()
      resolve(true)
    }
    work.then(settled, settled)
  })
}
