// Genesis: what the founders of a namespace agree on, once. Its bytes are the same on every founder and
// are the first thing that the namespace's group holds, so that two nodes with different founders can
// never take each other's entry 1 for their own.
//
//   bytes    version u8 = 1 | crc32c of the rest u32, big-endian | protobuf body
//
// The cluster id is the SHA-256 of the body without the id, cut to 128 bits. The body names the founders'
// incarnations, each 128 random bits, and the ballot at which it was first proposed; so the id is as unique
// as a drawn one, the core draws nothing, and whoever reads a genesis can tell that the id is its own.

import {
  type ClusterId,
  clusterId,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  nested,
  type NodeId,
  nodeId,
  repeated,
  sha256,
  text,
  toHex,
  uint,
} from '../../base/index.ts'
import { type Ballot, isBallot } from './ballot.ts'

/**
 * An incarnation: 32 lower-case hexadecimal digits, drawn when a data directory is made and never used
 * again. A directory that was lost comes back as another one; addresses and node numbers are attributes.
 */
export type FounderId = string

export type Founder = { readonly id: FounderId; readonly node: NodeId }

/** What all members do alike from the first entry on. */
export type GenesisParameters = { readonly heartbeatMs: number; readonly electionMs: number }

export type Genesis = {
  readonly namespace: string
  /** Depends on everything else: equal ids are equal geneses. */
  readonly clusterId: ClusterId
  /** Sorted by id, no id and no node twice. */
  readonly founders: readonly Founder[]
  readonly parameters: GenesisParameters
  /** The ballot at which it was first proposed. */
  readonly born: Ballot
}

export const foundersMax = 64
export const namespaceBytesMax = 512
/** A genesis is at most this many bytes. */
export const genesisBytesMax = 8_192
const version = 1
const headerBytes = 5

const founderFields = message({ id: text(1), node: uint(2) })
const bodyFields = message({
  namespace: text(1),
  clusterId: text(2),
  founders: repeated(nested(3, founderFields)),
  heartbeatMs: uint(4),
  electionMs: uint(5),
  round: uint(6),
  proposer: text(7),
})

export function isFounderId(id: string): boolean {
  return /^[0-9a-f]{32}$/.test(id)
}

/** Sorts the founders and gives the genesis its id. */
export function createGenesis(given: Omit<Genesis, 'clusterId'>): Genesis {
  const founders = [...given.founders].sort((a, b) => (a.id < b.id ? -1 : 1))
  const genesis = { ...given, founders }
  return { ...genesis, clusterId: idOf(genesis) }
}

export function encodeGenesis(genesis: Genesis): Uint8Array {
  const body = encodeBody(genesis, genesis.clusterId)
  const bytes = new Uint8Array(headerBytes + body.length)
  bytes[0] = version
  new DataView(bytes.buffer).setUint32(1, crc32c(body))
  bytes.set(body, headerBytes)
  return bytes
}

/** Fault 'corrupt' for damaged bytes, another version, or founders that no correct node would list. */
export function decodeGenesis(bytes: Uint8Array): Genesis {
  if (bytes.length > genesisBytesMax) throw corrupt(`of ${bytes.length} bytes`)
  if (bytes.length < headerBytes || bytes[0] !== version) throw corrupt(`of version ${bytes[0]}`)
  const body = bytes.subarray(headerBytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(1) !== crc32c(body)) throw corrupt('that fails its checksum')
  const raw = decodeBytes(bodyFields, body)
  if (raw.founders.length > foundersMax) throw corrupt('with too many founders')
  const genesis: Genesis = {
    namespace: raw.namespace,
    clusterId: clusterId(raw.clusterId),
    founders: raw.founders.map((founder) => ({
      id: founder?.id ?? '',
      node: nodeId(founder?.node ?? 0),
    })),
    parameters: { heartbeatMs: raw.heartbeatMs, electionMs: raw.electionMs },
    born: { round: raw.round, proposer: raw.proposer },
  }
  if (!isWellFormed(genesis)) throw corrupt('whose founders are not in order')
  if (genesis.clusterId !== idOf(genesis)) throw corrupt('with an id that is not its own')
  return genesis
}

/** The whole genesis in 64 hexadecimal digits: part of every check of a cluster's identity. */
export function genesisHash(genesis: Genesis): string {
  return toHex(sha256(encodeGenesis(genesis)))
}

export function isSameGenesis(a: Genesis | undefined, b: Genesis | undefined): boolean {
  return a?.clusterId === b?.clusterId
}

export function listsFounder(genesis: Genesis, id: FounderId): boolean {
  return genesis.founders.some((founder) => founder.id === id)
}

function encodeBody(genesis: Omit<Genesis, 'clusterId'>, id: string): Uint8Array {
  const { namespace, founders, parameters, born } = genesis
  return encodeBytes(bodyFields, { namespace, clusterId: id, founders, ...parameters, ...born })
}

function idOf(genesis: Omit<Genesis, 'clusterId'>): ClusterId {
  return clusterId(toHex(sha256(encodeBody(genesis, '')).subarray(0, 16)))
}

function isWellFormed({ founders, born }: Genesis): boolean {
  const nodes = new Set(founders.map((founder) => founder.node))
  if (founders.length === 0 || nodes.size !== founders.length || nodes.has(nodeId(0))) return false
  const isOrdered = founders.every(
    ({ id }, at) => isFounderId(id) && (at === 0 || (founders[at - 1]?.id ?? '') < id),
  )
  return isOrdered && isBallot(born) && born.round > 0
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `a genesis ${what}`)
}
