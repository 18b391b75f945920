// Byte connections between nodes. The secured ones: TLS 1.3 with certificates on both sides, both signed
// by the cluster's authority. A certificate names its node in one SAN URI,
// `atoll://<clusterId>/node/<nodeId>`; host names and addresses are not looked at, because nodes move.
//
// The plain ones (plain-network.ts) are for transports that secure them by themselves.
//
// In TLS 1.3 the dialling side is done before the other has judged its certificate: a refusal there
// shows as a close soon after connect().

import type { Server as TlsServer, TLSSocket } from 'node:tls'
import { clusterId, Fault, type NodeId, nodeId } from '../../base/index.ts'
import type {
  Address,
  Connection,
  Journal,
  Listener,
  Network,
  NodeIdentity,
  PeerIdentity,
  TransportConnectOptions,
  TransportListenOptions,
} from '../host.ts'
import { createRefusals, type Refusals } from '../refusals.ts'
import { realClock } from './clock.ts'
import { listenOn } from './listen.ts'
import {
  createReceiveSlot,
  onreadOptions,
  type ReceiveSlot,
  SocketConnection,
} from './network-connection.ts'
import { connectTls, createTlsServer } from './node-servers.ts'
import { createPlainNetwork, prepareServer } from './plain-network.ts'
import { errorCode, systemFault } from './system-fault.ts'

const handshakeMsDefault = 10_000

export function createNetwork(journal: Journal): Network {
  const refuse = createRefusals(journal, realClock)
  return {
    secured(identity) {
      const shown: Shown = { identity, servers: new Set() }
      return {
        self: { nodeId: identity.nodeId, clusterId: identity.clusterId },
        listen: (address, options) => listen(address, options, { shown, refuse }),
        connect: (address, options) => dial(address, options, shown.identity),
        replace(renewed) {
          shown.identity = renewed
          for (const server of shown.servers) server.setSecureContext(tlsOptions(renewed))
        },
      }
    },
    plain: createPlainNetwork(),
  }
}

/** What a transport shows of itself, and who shows it. */
type Shown = { identity: NodeIdentity; readonly servers: Set<TlsServer> }

/** A TLS socket whose certificate was accepted. */
class TlsConnection extends SocketConnection implements Connection {
  readonly peer: PeerIdentity

  constructor(socket: TLSSocket, peer: PeerIdentity, slot?: ReceiveSlot) {
    super(socket, `connection with node ${peer.nodeId}`, slot)
    this.peer = peer
  }
}

async function listen(
  address: Address,
  options: TransportListenOptions,
  { shown, refuse }: { readonly shown: Shown; readonly refuse: Refusals },
): Promise<Listener> {
  const { identity } = shown
  const server = createTlsServer({
    ...tlsOptions(identity),
    requestCert: true,
    handshakeTimeout: options.handshakeMsMax ?? handshakeMsDefault,
    noDelay: true,
  })
  const close = prepareServer(server)
  server.on('secureConnection', (socket) => {
    const remote = socket.remoteAddress ?? ''
    const peer = peerIdentity(socket)
    if (peer === undefined || peer.clusterId !== identity.clusterId) {
      refuse(remote, peer === undefined ? 'no node in its certificate' : 'another cluster')
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    options.onConnection(new TlsConnection(socket, peer))
  })
  server.on('tlsClientError', (error, socket) => {
    refuse(socket.remoteAddress ?? '', error.message)
    socket.destroy()
  })
  const bound = await listenOn(server, address, options.sharesPort)
  // Replaced while it was binding.
  if (shown.identity !== identity) server.setSecureContext(tlsOptions(shown.identity))
  shown.servers.add(server)
  server.once('close', () => shown.servers.delete(server))
  return { address: bound, close }
}

function dial(
  address: Address,
  options: TransportConnectOptions,
  identity: NodeIdentity,
): Promise<Connection> {
  const where = `${address.host}:${address.port}`
  return new Promise((resolve, reject) => {
    const slot = createReceiveSlot(options.receiveBuffer)
    const socket = connectTls({
      ...tlsOptions(identity),
      host: address.host,
      port: address.port,
      checkServerIdentity: () => undefined,
      ...onreadOptions(slot, options.receiveBuffer),
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
      const wrong = wrongPeer(peer, { own: identity, expected: options.expected })
      if (peer === undefined || wrong !== undefined) {
        return giveUp(new Fault('unauthenticated', `${where} is ${wrong ?? 'nobody'}`))
      }
      clearTimeout(timer)
      socket.setNoDelay(true)
      const connection = new TlsConnection(socket, peer, slot)
      socket.off('error', onError)
      socket.off('close', onEnd)
      resolve(connection)
    })
  })
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

function wrongPeer(
  peer: PeerIdentity | undefined,
  wanted: { readonly own: PeerIdentity; readonly expected: NodeId | undefined },
): string | undefined {
  const { own, expected } = wanted
  if (peer === undefined) return 'not a node of a cluster'
  if (peer.clusterId !== own.clusterId) return `of another cluster, ${peer.clusterId}`
  if (expected !== undefined && peer.nodeId !== expected) {
    return `node ${peer.nodeId}, not node ${expected}`
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
