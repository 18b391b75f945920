// A member's admin port as a machine asks it that does not trust it yet: one connection to see its certificates, from
// which checkPinnedChain takes the authority that the token names, and then connections that trust that one
// only and the same key. Nothing is sent on the first.

import { createHash, X509Certificate } from 'node:crypto'
import { request } from 'node:https'
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import { Fault, faultCodeOf, isFault, utf8Decode } from '../base/index.ts'
import { joinClient, type PinnedServer } from '../cluster/index.ts'
import type { Address, Host } from '../host/index.ts'
import { reason } from './files.ts'

export type Pinned = {
  readonly server: PinnedServer
  /** The status and the whole answer; Fault 'unavailable' when it does not come. */
  post(path: string, body: Uint8Array): Promise<PinnedAnswer>
}
export type PinnedAnswer = { readonly status: number; readonly body: Uint8Array }

const connectMs = 5_000
const answerMs = 30_000
const answerBytesMax = 4 * 1024 * 1024
const chainMax = 8

/** Faults: 'unavailable' with reason 'unreachable'; 'unauthenticated' when the pin names none of its certificates. */
export async function openPinned(
  host: Pick<Host, 'pki' | 'clock'>,
  address: Address,
  pin: Uint8Array | undefined,
): Promise<Pinned> {
  const chain = await readChain(address)
  const server = await joinClient.checkPinnedChain(host, chain, pin).catch((error: unknown) => {
    if (!isFault(error, 'unauthenticated') || error.fields.reason !== undefined) throw error
    throw new Fault('unauthenticated', error.message, {
      fields: { reason: 'pin' },
      next: 'check the address, and that the token is of this cluster; nothing was sent',
      cause: error,
    })
  })
  return { server, post: (path, body) => post({ address, server, path }, body) }
}

function unreachable(address: Address, what: string): Fault {
  return new Fault('unavailable', `${address.host}:${address.port} does not answer: ${what}`, {
    fields: { reason: 'unreachable' },
    next: 'see that a node of the cluster runs there and that no firewall is between; its port is 7777 unless it was moved',
  })
}

/** The certificates that a server shows, its own first. */
function readChain(address: Address): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address.host,
      port: address.port,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      timeout: connectMs,
    })
    socket.once('secureConnect', () => {
      const chain = chainOf(socket)
      socket.destroy()
      resolve(chain)
    })
    socket.once('timeout', () => socket.destroy(new Error(`nothing within ${connectMs} ms`)))
    socket.once('error', (error) => reject(unreachable(address, reason(error))))
  })
}

function chainOf(socket: TLSSocket): readonly string[] {
  const chain: string[] = []
  let shown: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (shown?.raw !== undefined && chain.length < chainMax) {
    chain.push(pemOf(shown.raw))
    const next: DetailedPeerCertificate | undefined = shown.issuerCertificate
    shown = next === shown || next?.fingerprint256 === shown.fingerprint256 ? undefined : next
  }
  return chain
}

function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function post(
  {
    address,
    server,
    path,
  }: { readonly address: Address; readonly server: PinnedServer; readonly path: string },
  body: Uint8Array,
): Promise<PinnedAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: address.host,
        port: address.port,
        method: 'POST',
        path,
        ca: server.authorityPem,
        // Who it is follows from its key, whatever name or address it was reached by.
        checkServerIdentity: (_name, shown) =>
          keyHashOf(shown.raw) === server.keyHash
            ? undefined
            : new Error('it shows another key now'),
        timeout: answerMs,
        agent: false,
        headers: { 'content-type': 'application/json', 'content-length': body.length },
      },
      (response) => {
        const parts: Buffer[] = []
        let bytes = 0
        response.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes > answerBytesMax) asked.destroy(new Error('the answer is too large'))
          else parts.push(part)
        })
        response.on('error', (error) => reject(unreachable(address, reason(error))))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: new Uint8Array(Buffer.concat(parts)) }),
        )
      },
    )
    asked.on('timeout', () => asked.destroy(new Error(`nothing within ${answerMs} ms`)))
    asked.on('error', (error) => reject(unreachable(address, reason(error))))
    asked.end(body)
  })
}

function keyHashOf(der: Uint8Array): string {
  const key = new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(key).digest('hex')
}

/** What a member refused, as the Fault that it was there. */
export function faultOfAnswer({ status, body }: PinnedAnswer): Fault {
  let parsed: unknown
  try {
    parsed = JSON.parse(utf8Decode(body))
  } catch {
    parsed = undefined
  }
  const { error } = (parsed ?? {}) as {
    error?: { code?: unknown; message?: unknown; next?: unknown; fields?: unknown }
  }
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' ? value.slice(0, 1024) : undefined
  const code = text(error?.code) ?? ''
  const fields = Object.entries((error?.fields ?? {}) as Record<string, unknown>)
  const next = text(error?.next)
  return new Fault(faultCodeOf(code), text(error?.message) ?? `the member answered ${status}`, {
    fields: Object.fromEntries(
      fields
        .slice(0, 16)
        .flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
    ),
    ...(next === undefined ? {} : { next }),
  })
}
