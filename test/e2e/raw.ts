// Requests byte by byte: a signer of its own (AWS Signature Version 4, header form) and a raw socket, for
// what no stock client would send.

import { createHash, createHmac } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import type { ClusterLine } from './cluster.ts'

export type RawRequest = {
  readonly method: string
  /** Path and query as sent; already encoded. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  /** What x-amz-content-sha256 says; default: the body's hash. */
  readonly payloadHash?: string
  readonly atMs?: number
  readonly secretAccessKey?: string
}
export type RawResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const hex = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')
const hmac = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest()

/** The head of a signed request, ending with the empty line. */
export function signedHead(line: ClusterLine, endpoint: string, request: RawRequest): string {
  const at = new Date(request.atMs ?? Date.now()).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = at.slice(0, 8)
  const body = request.body ?? Buffer.alloc(0)
  const [path = '/', query = ''] = request.target.split('?')
  const headers: Record<string, string> = {
    host: new URL(endpoint).host,
    'x-amz-content-sha256': request.payloadHash ?? hex(body),
    'x-amz-date': at,
    ...request.headers,
  }
  const signable = Object.keys(headers)
    .filter((name) => name !== 'content-length' && name !== 'connection')
    .sort()
  const canonical = [
    request.method,
    path,
    query.split('&').filter(Boolean).sort().join('&'),
    ...signable.map((name) => `${name}:${headers[name]?.trim()}`),
    '',
    signable.join(';'),
    headers['x-amz-content-sha256'],
  ].join('\n')
  const scope = `${day}/${line.region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', at, scope, hex(canonical)].join('\n')
  let key: Buffer = hmac(`AWS4${request.secretAccessKey ?? line.secretAccessKey}`, day)
  for (const part of [line.region, 's3', 'aws4_request']) key = hmac(key, part)
  const signature = createHmac('sha256', key).update(toSign).digest('hex')
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${line.accessKeyId}/${scope},SignedHeaders=${signable.join(';')},Signature=${signature}`
  headers['content-length'] ??= String(body.length)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return `${request.method} ${request.target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

export function open(endpoint: string): Promise<Socket> {
  const { hostname, port } = new URL(endpoint)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Sends bytes as they are and reads until the server closes or a whole response is there. */
export async function sendRaw(endpoint: string, bytes: Buffer | string): Promise<RawResponse> {
  const socket = await open(endpoint)
  socket.on('error', () => {})
  socket.write(bytes)
  const chunks: Buffer[] = []
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    const response = parse(Buffer.concat(chunks))
    if (response !== undefined) {
      socket.destroy()
      return response
    }
  }
  const response = parse(Buffer.concat(chunks), true)
  if (response === undefined) throw new Error('the server closed without a response')
  return response
}

export async function send(
  line: ClusterLine,
  endpoint: string,
  request: RawRequest,
): Promise<RawResponse> {
  const head = signedHead(line, endpoint, request)
  return sendRaw(
    endpoint,
    Buffer.concat([Buffer.from(head, 'latin1'), request.body ?? Buffer.alloc(0)]),
  )
}

function parse(bytes: Buffer, isClosed = false): RawResponse | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [first = '', ...rest] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const headers: Record<string, string> = {}
  for (const text of rest) {
    const at = text.indexOf(':')
    headers[text.slice(0, at).toLowerCase()] = text.slice(at + 1).trim()
  }
  const status = Number(first.split(' ')[1])
  if (status === 100) return parse(bytes.subarray(end + 4), isClosed)
  const body = bytes.subarray(end + 4)
  const length = headers['content-length']
  const isChunked = headers['transfer-encoding'] === 'chunked'
  if (!isClosed && length !== undefined && body.length < Number(length)) return undefined
  if (!isClosed && isChunked && !body.toString('latin1').endsWith('0\r\n\r\n')) return undefined
  if (!isClosed && !isChunked && length === undefined && status !== 204 && status !== 304)
    return undefined
  return { status, headers, body: body.toString() }
}

/** The <Code> of an S3 error. */
export function errorCode(response: RawResponse): string {
  return /<Code>([^<]*)<\/Code>/.exec(response.body)?.[1] ?? ''
}
