// The parts of node:http, node:https and node:tls that the host uses, taken from Node without `import`.
//
// An import of a built-in module reads every property of it once. On node:http that reads WebSocket,
// which loads Node's whole web client (80 ms of CPU and 15 MiB in each thread); on node:tls it reads
// rootCertificates, which decodes all of them. Nothing here needs either.

import type { ClientHttp2Session, SecureClientSessionOptions } from 'node:http2'
import type { Socket } from 'node:net'
import { sha256, toHex } from '../../base/index.ts'
import type { HttpServerOptions } from '../host.ts'

const http = process.getBuiltinModule('node:http')
const https = process.getBuiltinModule('node:https')
const tls = process.getBuiltinModule('node:tls')

export const createHttpServer = http.createServer
export const createHttpsServer = https.createServer
export const statusTexts: Readonly<Record<number, string | undefined>> = http.STATUS_CODES
export const connectTls = tls.connect
export const createTlsServer = tls.createServer
export const TlsServer = tls.Server
export const TlsSocket = tls.TLSSocket

/** Of a server with TLS, at its start and when its certificate is replaced. */
export function serverSettings(given: NonNullable<HttpServerOptions['tls']>) {
  const { certificatePem, privateKeyPem, clientAuthorityPem, askedAuthorityPem } = given
  const authorityPem = clientAuthorityPem ?? askedAuthorityPem
  return {
    cert: certificatePem,
    key: privateKeyPem,
    // Where no client shows a certificate: without this Node would decode its whole list of roots.
    ca: authorityPem === undefined ? [] : [authorityPem],
    minVersion: 'TLSv1.2',
  } as const
}

/** What the client of this connection showed, and has the key of. */
export function shownCertificate(socket: Socket): { readonly hash: string } | undefined {
  const shown = socket instanceof TlsSocket ? socket.getPeerX509Certificate() : undefined
  return shown === undefined ? undefined : { hash: toHex(sha256(shown.raw)) }
}

/** Loaded on first use: few nodes need it. */
export function connectHttp2(
  authority: string,
  options: SecureClientSessionOptions,
): ClientHttp2Session {
  return process.getBuiltinModule('node:http2').connect(authority, options)
}
