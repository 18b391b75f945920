// Byte connections between nodes: TLS 1.3 with certificates on both sides, both signed by the cluster's
// authority. A certificate names its node in one SAN URI, `atoll://<clusterId>/node/<nodeId>`; host
// names and addresses are not looked at, because nodes move.
//
// In TLS 1.3 the dialling side is done before the other has judged its certificate: a refusal there
// shows as a close soon after connect().

import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import { clusterId, Fault, nodeId } from '../../base/index.ts'
import type {
  Address,
  Connection,
  Journal,
  Listener,
  Network,
  NodeIdentity,
  PeerIdentity,
} from '../host.ts'
import { listenOn } from './listen.ts'
import { type ReceiveSlot, RealConnection } from './network-connection.ts'
import { connectTls, createTlsServer } from './node-servers.ts'
import { errorCode, systemFault } from './system-fault.ts'

const handshakeMsMax = 10_000
/** Sockets of one listener, those in their handshake included. */
const connectionsMax = 4096
/** Refusals are journaled at most this often; the rest are counted. */
const refusalJournalMs = 1_000

type ListenOptions = Parameters<Network['listen']>[1]
type ConnectOptions = Parameters<Network['connect']>[1]

export function createNetwork(journal: Journal): Network {
  const refusals = createRefusalJournal(journal)
  return {
    listen: (address, options) => listen(address, options, refusals),
    connect: dial,
  }
}

async function listen(
  address: Address,
  options: ListenOptions,
  refuse: (remote: string, why: string) => void,
): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server = createTlsServer({
    ...tlsOptions(options.identity),
    requestCert: true,
    handshakeTimeout: handshakeMsMax,
    noDelay: true,
  })
  server.maxConnections = connectionsMax
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('secureConnection', (socket) => {
    const remote = socket.remoteAddress ?? ''
    const peer = peerIdentity(socket)
    if (peer === undefined || peer.clusterId !== options.identity.clusterId) {
      refuse(remote, peer === undefined ? 'no node in its certificate' : 'another cluster')
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    options.onConnection(new RealConnection(socket, peer))
  })
  server.on('tlsClientError', (error, socket) => {
    refuse(socket.remoteAddress ?? '', error.message)
    socket.destroy()
  })
  const bound = await listenOn(server, address, options.sharesPort)
  return { address: bound, close: () => closeServer(server, sockets) }
}

/** `sockets` are those below TLS, so that one in its handshake ends as well. */
function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of sockets) socket.destroy()
  })
}

function dial(address: Address, options: ConnectOptions): Promise<Connection> {
  const where = `${address.host}:${address.port}`
  return new Promise((resolve, reject) => {
    const slot: ReceiveSlot | undefined =
      options.receiveBuffer === undefined ? undefined : { receive: undefined, early: [] }
    const socket = connectTls({
      ...tlsOptions(options.identity),
      host: address.host,
      port: address.port,
      checkServerIdentity: () => undefined,
      ...(slot === undefined ? {} : { onread: onread(slot, options.receiveBuffer) }),
    })
    const giveUp = (fault: Fault) => {
      clearTimeout(timer)
      socket.destroy()
      reject(fault)
    }
    const timer = setTimeout(
      () => giveUp(new Fault('unavailable', `${where} does not answer`)),
      options.timeoutMs,
    )
    const onError = (error: Error) => giveUp(dialFault(error, where))
    const onEnd = () => giveUp(new Fault('unavailable', `${where} closed the connection`))
    socket.once('error', onError)
    socket.once('close', onEnd)
    socket.once('secureConnect', () => {
      const peer = peerIdentity(socket)
      const wrong = wrongPeer(peer, options)
      if (peer === undefined || wrong !== undefined) {
        return giveUp(new Fault('unauthenticated', `${where} is ${wrong ?? 'nobody'}`))
      }
      clearTimeout(timer)
      socket.setNoDelay(true)
      const connection = new RealConnection(socket, peer, slot)
      socket.off('error', onError)
      socket.off('close', onEnd)
      resolve(connection)
    })
  })
}

function onread(slot: ReceiveSlot, buffer: Uint8Array | undefined) {
  return {
    buffer: buffer ?? new Uint8Array(0),
    callback(count: number, memory: Uint8Array): boolean {
      const view = memory.subarray(0, count)
      if (slot.receive === undefined) slot.early.push(new Uint8Array(view))
      else slot.receive(view)
      return true
    },
  }
}

function tlsOptions(identity: NodeIdentity) {
  return {
    ca: identity.authorityPem,
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    rejectUnauthorized: true,
  } as const
}

/** Who the verified certificate names; undefined unless it names exactly one node. */
function peerIdentity(socket: TLSSocket): PeerIdentity | undefined {
  if (!socket.authorized) return undefined
  const names = socket.getPeerX509Certificate()?.subjectAltName?.split(', ') ?? []
  const uris = names.filter((name) => name.startsWith('URI:atoll:'))
  const parts = /^URI:atoll:\/\/([0-9a-f]{32})\/node\/([1-9][0-9]{0,9})$/.exec(uris[0] ?? '')
  if (uris.length !== 1 || parts === null) return undefined
  return { clusterId: clusterId(parts[1] ?? ''), nodeId: nodeId(Number(parts[2])) }
}

function wrongPeer(peer: PeerIdentity | undefined, options: ConnectOptions): string | undefined {
  if (peer === undefined) return 'not a node of a cluster'
  if (peer.clusterId !== options.identity.clusterId) return `of another cluster, ${peer.clusterId}`
  if (options.expected !== undefined && peer.nodeId !== options.expected) {
    return `node ${peer.nodeId}, not node ${options.expected}`
  }
  return undefined
}

function dialFault(error: Error, where: string): Fault {
  const fault = systemFault(error, `cannot reach ${where}`)
  if (fault.code !== 'internal') return fault
  const code = errorCode(error)
  const isIdentity = /CERT|SSL|TLS|ISSUER|SIGNATURE|VERIFY/.test(code)
  return new Fault(isIdentity ? 'unauthenticated' : 'unavailable', fault.message, { cause: error })
}

function createRefusalJournal(journal: Journal): (remote: string, why: string) => void {
  let lastMs = Number.NEGATIVE_INFINITY
  let unreported = 0
  return (remote, why) => {
    const nowMs = performance.now()
    unreported++
    if (nowMs - lastMs < refusalJournalMs) return
    journal.event('warning', 'network.peer_refused', { remote, why, count: unreported })
    lastMs = nowMs
    unreported = 0
  }
}
