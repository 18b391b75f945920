// UDP sockets of version 4 for the local network, by node:dgram.

import { createSocket, type Socket } from 'node:dgram'
import type { DatagramOptions, DatagramSocket } from '../host.ts'
import { errorCode, systemFault } from './system-fault.ts'
import { Fault } from '../../base/index.ts'

export async function openDatagrams(options: DatagramOptions): Promise<DatagramSocket> {
  const { group, interfaceHost } = options
  const socket = createSocket({ type: 'udp4', reuseAddr: group !== undefined })
  // The address of a group is heard on whatever address the socket has; others are for this interface only.
  await bind(socket, options)
  try {
    socket.setMulticastTTL(1)
    socket.setTTL(1)
    socket.setMulticastLoopback(true)
    socket.setMulticastInterface(interfaceHost)
    if (group !== undefined) socket.addMembership(group, interfaceHost)
  } catch (error) {
    socket.close()
    throw new Fault('unavailable', `${interfaceHost} has no multicast: ${String(error)}`, {
      cause: error,
    })
  }
  socket.on('message', (bytes, from) => {
    options.onDatagram(bytes, { host: from.address, port: from.port })
  })
  socket.unref()
  return {
    // A datagram that is lost and one that could not be sent are the same to both ends.
    send: (bytes, to) => socket.send(bytes, to.port, to.host, () => undefined),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

function bind(socket: Socket, { port, group, interfaceHost }: DatagramOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      const isTaken = errorCode(error) === 'EADDRINUSE'
      socket.close()
      reject(
        isTaken
          ? new Fault('exists', `port ${port} is taken`, { fields: { port: String(port) } })
          : systemFault(error, `cannot open port ${port} for datagrams`),
      )
    })
    socket.bind({ port, address: group ?? interfaceHost, exclusive: false }, () => {
      socket.removeAllListeners('error')
      // Errors of single datagrams (a port that nobody has) end nothing.
      socket.on('error', () => undefined)
      resolve()
    })
  })
}
