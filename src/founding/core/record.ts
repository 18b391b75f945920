// What a node must not forget about founding one namespace: one small file per namespace, replaced as a
// whole. It is durable before anything that follows from it is sent (core/formation.ts says which step).
//
//   bytes    version u8 = 1 | crc32c of the rest u32, big-endian | protobuf body
//
// A record that is damaged is never taken for an absent one: an absent one is a new incarnation that may
// found, and a node that forgot what it accepted must not.

import {
  bool,
  bytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  type NodeId,
  nodeId,
  text,
  uint,
} from '../../base/index.ts'
import { type Ballot, isBallot, noBallot } from './ballot.ts'
import {
  decodeGenesis,
  encodeGenesis,
  type FounderId,
  type Genesis,
  isFounderId,
} from './genesis.ts'

export type FoundingRecord = {
  readonly namespace: string
  readonly id: FounderId
  readonly node: NodeId
  /** Nothing below is ever accepted again. */
  readonly promised: Ballot
  readonly accepted: Accepted | undefined
  /** Final: the cluster that this node belongs to or waits for. Forbids founding for ever. */
  readonly cluster: KnownCluster | undefined
}

export type Accepted = { readonly ballot: Ballot; readonly genesis: Genesis }

export type KnownCluster = {
  readonly genesis: Genesis
  /** A founder, or a joiner that the cluster has taken in; false while it asks to be. */
  readonly isMember: boolean
}

export const recordBytesMax = 32_768
const version = 1
const headerBytes = 5

const fields = message({
  namespace: text(1),
  id: text(2),
  node: uint(3),
  promisedRound: uint(4),
  promisedProposer: text(5),
  acceptedRound: uint(6),
  acceptedProposer: text(7),
  acceptedGenesis: bytes(8),
  clusterGenesis: bytes(9),
  isMember: bool(10),
})
const noBytes = new Uint8Array(0)

export function newRecord(namespace: string, id: FounderId, node: NodeId): FoundingRecord {
  return { namespace, id, node, promised: noBallot, accepted: undefined, cluster: undefined }
}

export function encodeRecord(record: FoundingRecord): Uint8Array {
  const { namespace, id, node, promised, accepted, cluster } = record
  const body = encodeBytes(fields, {
    namespace,
    id,
    node,
    promisedRound: promised.round,
    promisedProposer: promised.proposer,
    acceptedRound: accepted?.ballot.round ?? 0,
    acceptedProposer: accepted?.ballot.proposer ?? '',
    acceptedGenesis: accepted === undefined ? noBytes : encodeGenesis(accepted.genesis),
    clusterGenesis: cluster === undefined ? noBytes : encodeGenesis(cluster.genesis),
    isMember: cluster?.isMember ?? false,
  })
  const sealed = new Uint8Array(headerBytes + body.length)
  sealed[0] = version
  new DataView(sealed.buffer).setUint32(1, crc32c(body))
  sealed.set(body, headerBytes)
  return sealed
}

/** Fault 'corrupt' for damaged bytes, another version, or a state that no correct node writes. */
export function decodeRecord(sealed: Uint8Array): FoundingRecord {
  if (sealed.length < headerBytes || sealed[0] !== version)
    throw corrupt(`has version ${sealed[0]}`)
  const body = sealed.subarray(headerBytes)
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  if (view.getUint32(1) !== crc32c(body)) throw corrupt('fails its checksum')
  const raw = decodeBytes(fields, body)
  const promised = { round: raw.promisedRound, proposer: raw.promisedProposer }
  const ballot = { round: raw.acceptedRound, proposer: raw.acceptedProposer }
  if (!isFounderId(raw.id) || raw.node === 0) throw corrupt('names no incarnation')
  if (!isBallot(promised) || !isBallot(ballot)) throw corrupt('holds an impossible ballot')
  if ((ballot.round === 0) !== (raw.acceptedGenesis.length === 0)) throw corrupt('is incomplete')
  const isJoined = raw.clusterGenesis.length > 0
  return {
    namespace: raw.namespace,
    id: raw.id,
    node: nodeId(raw.node),
    promised,
    accepted:
      ballot.round === 0 ? undefined : { ballot, genesis: decodeGenesis(raw.acceptedGenesis) },
    cluster: isJoined
      ? { genesis: decodeGenesis(raw.clusterGenesis), isMember: raw.isMember }
      : undefined,
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `the founding record ${what}`, {
    next: 'this node forgot what it agreed to: delete its data directory, so that it joins under a new identity',
  })
}
