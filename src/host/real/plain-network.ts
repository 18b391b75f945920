// Byte connections without protection, for transports that authenticate and encrypt by themselves; and what
// every listener of nodes shares: a bound on its sockets, and an end that takes them along.

import { connect, createServer, type Server, type Socket } from 'node:net'
import { Fault } from '../../base/index.ts'
import type { Address, ByteConnection, PlainNetwork, TransportConnectOptions } from '../host.ts'
import { listenOn } from './listen.ts'
import { createReceiveSlot, onreadOptions, SocketConnection } from './network-connection.ts'
import { systemFault } from './system-fault.ts'

/** Sockets of one listener, those in their handshake included. */
const connectionsMax = 4096

export function createPlainNetwork(): PlainNetwork {
  return {
    async listen(address, options) {
      const server = createServer({ noDelay: true })
      const close = prepareServer(server)
      server.on('connection', (socket) => {
        options.onConnection(new SocketConnection(socket, `connection of ${remoteOf(socket)}`))
      })
      return { address: await listenOn(server, address, options.sharesPort), close }
    },
    connect: dial,
  }
}

/** Bounds its sockets; answers how to close it together with all of them, also those in a handshake. */
export function prepareServer(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>()
  server.maxConnections = connectionsMax
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
}

function dial(
  address: Address,
  options: Omit<TransportConnectOptions, 'expected'>,
): Promise<ByteConnection> {
  const where = `${address.host}:${address.port}`
  return new Promise((resolve, reject) => {
    const slot = createReceiveSlot(options.receiveBuffer)
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
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
    socket.once('error', onError)
    socket.once('connect', () => {
      clearTimeout(timer)
      const connection = new SocketConnection(socket, `connection with ${where}`, slot)
      socket.off('error', onError)
      resolve(connection)
    })
  })
}

function dialFault(error: Error, where: string): Fault {
  const fault = systemFault(error, `cannot reach ${where}`)
  return fault.code === 'internal'
    ? new Fault('unavailable', fault.message, { cause: error })
    : fault
}

function remoteOf(socket: Socket): string {
  return socket.remoteAddress ?? 'a peer that has gone'
}
