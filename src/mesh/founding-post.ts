// Founding's messages over rpc: FoundingTransport for every namespace of a mesh, one rpc method. An envelope
// names its namespace and its sender; a sender that claims another node number than its connection has
// proved is dropped. Where the sender says it can be reached goes into the directory.

import { isFault, type NodeId } from '../base/index.ts'
import { decodeEnvelope, type FoundingTransport } from '../founding/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { Directory } from './directory.ts'

export type FoundingPostEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly directory: Directory
  readonly contacts: (namespace: string) => readonly string[]
}

export class FoundingPost {
  readonly #ends: FoundingPostEnds
  readonly #boxes = new Map<string, FoundingTransport>()

  constructor(ends: FoundingPostEnds) {
    this.#ends = ends
    ends.rpc.onMessage(controlMethod.meshFounding, (from, message) => this.#receive(from, message))
  }

  open(namespace: string): FoundingTransport {
    const { rpc, directory, contacts } = this.#ends
    const box: FoundingTransport = {
      send: (address, message) => {
        const node = directory.find(address)
        if (node !== undefined) rpc.send(node, controlMethod.meshFounding, message)
      },
      onMessage: () => {},
      contacts: () => contacts(namespace),
    }
    this.#boxes.set(namespace, box)
    return box
  }

  close(namespace: string): void {
    this.#boxes.delete(namespace)
  }

  #receive(from: NodeId, message: Uint8Array): void {
    try {
      const { namespace, from: sender } = decodeEnvelope(message)
      if (sender.node !== from) {
        this.#refuse(from, `it names node ${sender.node} as its sender`)
        return
      }
      this.#ends.directory.hearFrom(from, sender.address)
      this.#boxes.get(namespace)?.onMessage(message)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#refuse(from, error.message)
    }
  }

  #refuse(from: NodeId, why: string): void {
    this.#ends.host.journal.event('warning', 'mesh.message_refused', { from, why })
  }
}
