// An answer as bytes, for connections whose request could not be parsed and has no ServerResponse.

import { assert, concatBytes } from '../../base/index.ts'
import type { HttpResponse } from '../host.ts'
import { statusTexts } from './node-servers.ts'

/** The whole answer with its content-length; the body is bytes or absent. */
export function rawResponse(response: HttpResponse): Uint8Array {
  const body = response.body ?? new Uint8Array(0)
  assert(body instanceof Uint8Array, 'the answer to a malformed request is not a stream')
  let head = `HTTP/1.1 ${response.status} ${statusTexts[response.status] ?? 'Unknown'}\r\n`
  for (const [name, value] of response.headers) {
    if (name.toLowerCase() !== 'content-length') head += `${name}: ${value}\r\n`
  }
  head += `content-length: ${body.length}\r\n\r\n`
  return concatBytes([Buffer.from(head, 'latin1'), body])
}
