// S3's own error codes as Faults, and what of a Fault is shown to a client.
//
// Codes, statuses and messages are those of the API reference ("Error responses") and, where the
// reference is silent, of what S3 answers. A fault of a room below keeps its own S3 code; what is
// unexpected ('internal', 'corrupt') is shown with a neutral text, because its message is for the journal.

import { Fault, type FaultCode } from '../../../base/index.ts'
import { XmlWriter } from './xml.ts'

const codeByStatus: Readonly<Record<number, FaultCode>> = {
  400: 'invalid',
  403: 'denied',
  404: 'not-found',
  405: 'unsupported',
  409: 'conflict',
  411: 'invalid',
  412: 'precondition',
  416: 'invalid',
  501: 'unsupported',
}

/** Fields that may appear as elements of the error document; all others stay inside. */
const shownFields: ReadonlySet<string> = new Set([
  'ActualObjectSize',
  'ArgumentName',
  'ArgumentValue',
  'AWSAccessKeyId',
  'BucketName',
  'CalculatedDigest',
  'CanonicalRequest',
  'ClientComputedContentSHA256',
  'Condition',
  'ExpectedDigest',
  'Expires',
  'Header',
  'HeadersNotSigned',
  'Key',
  'MaxAllowedSkewMilliseconds',
  'MaxSizeAllowed',
  'MinSizeAllowed',
  'PartNumber',
  'ProposedSize',
  'RangeRequested',
  'Region',
  'RequestTime',
  'S3ComputedContentSHA256',
  'ServerTime',
  'SignatureProvided',
  'Size',
  'StringToSign',
  'UploadId',
  'X-Amz-Expires',
])

/** A fault with an exact S3 code. `fields` become elements of the error document. */
export function s3Fault(
  code: string,
  status: number,
  what: string,
  fields: Readonly<Record<string, string>> = {},
): Fault {
  return new Fault(codeByStatus[status] ?? 'internal', what, { s3: { code, status }, fields })
}

export function invalidArgument(what: string, name: string, value: string): Fault {
  return s3Fault('InvalidArgument', 400, what, { ArgumentName: name, ArgumentValue: value })
}

export function invalidRequest(what: string): Fault {
  return s3Fault('InvalidRequest', 400, what)
}

/** What this gateway does not do, said so (never ignored). */
export function notImplemented(what: string, header?: string): Fault {
  const fields = header === undefined ? {} : { Header: header }
  return s3Fault('NotImplemented', 501, what, fields)
}

export function malformedXml(): Fault {
  return s3Fault(
    'MalformedXML',
    400,
    'The XML you provided was not well-formed or did not validate against our published schema',
  )
}

export function accessDenied(what = 'Access Denied', fields?: Record<string, string>): Fault {
  return s3Fault('AccessDenied', 403, what, fields)
}

export function noSuchBucket(bucket: string): Fault {
  return s3Fault('NoSuchBucket', 404, 'The specified bucket does not exist', { BucketName: bucket })
}

/** Message for clients: neutral for what they can neither understand nor change. */
export function shownMessage(fault: Fault): string {
  if (fault.code === 'internal' || fault.code === 'corrupt') {
    return 'We encountered an internal error. Please try again.'
  }
  return fault.next === undefined ? fault.message : `${fault.message} ${fault.next}`
}

/** The <Error> document. */
export function errorXml(
  fault: Fault,
  place: { readonly resource: string; readonly requestId: string; readonly hostId: string },
): string {
  const xml = new XmlWriter()
  xml.open('Error')
  xml.text('Code', fault.s3.code)
  xml.text('Message', shownMessage(fault))
  for (const [name, value] of Object.entries(fault.fields)) {
    if (shownFields.has(name)) xml.text(name, value)
  }
  xml.text('Resource', place.resource)
  xml.text('RequestId', place.requestId)
  xml.text('HostId', place.hostId)
  xml.close('Error')
  return xml.finish()
}
