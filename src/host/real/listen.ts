// Binding a server to an address. Exclusive by default: the system then refuses a port that anybody
// holds, also one held with SO_REUSEPORT. Threads that share a port set that flag themselves, and a
// second program that set it too would be let in silently; so the first of them binds once without it.

import { createServer, type Server } from 'node:net'
import type { Address, PortSharing } from '../host.ts'
import { listenFault } from './system-fault.ts'

const backlogMax = 4096

/** Settles with the address as bound (a port of 0 is chosen by the system). */
export async function listenOn(
  server: Server,
  address: Address,
  sharing: PortSharing | undefined,
): Promise<Address> {
  if (sharing === 'first') await proveFree(address)
  return await bind(server, address, sharing !== undefined)
}

async function proveFree(address: Address): Promise<void> {
  const probe = createServer()
  await bind(probe, address, false)
  await new Promise<void>((resolve) => {
    probe.close(() => resolve())
  })
}

function bind(server: Server, address: Address, isShared: boolean): Promise<Address> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(listenFault(error, address.host, address.port))
    server.once('error', onError)
    const options = { host: address.host, port: address.port, backlog: backlogMax }
    server.listen({ ...options, exclusive: true, ...(isShared ? { reusePort: true } : {}) }, () => {
      server.off('error', onError)
      const bound = server.address()
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
      resolve({ host: address.host, port })
    })
  })
}
