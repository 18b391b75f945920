// Messages between the nodes of one namespace, before and after it has a cluster. Every message names the
// namespace, its sender and the cluster that the sender belongs to or asks to join, so that the first message
// between two clusters already shows that they are two.
//
//   bytes    version u8 = 1 | protobuf envelope, with exactly one body
//
// The transport authenticates and checks; damage on the way is its business.

import {
  bool,
  bytes,
  type ClusterId,
  clusterId,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  type MessageOf,
  nested,
  type NodeId,
  nodeId,
  repeated,
  text,
  uint,
} from '../../base/index.ts'
import { type Ballot, isBallot } from './ballot.ts'
import {
  decodeGenesis,
  encodeGenesis,
  type FounderId,
  type Genesis,
  isFounderId,
  namespaceBytesMax,
} from './genesis.ts'
import type { Accepted } from './record.ts'

export type Envelope = {
  readonly namespace: string
  readonly from: Sender
  /** Whose genesis the sender holds; a node that only heard of a cluster names none, and is told. */
  readonly cluster: ClusterId | undefined
  readonly body: Body
}

export type Sender = { readonly id: FounderId; readonly node: NodeId; readonly address: string }

/** Who was seen, and how long ago: durations, so that no two clocks have to agree. */
export type Sighting = Sender & {
  readonly firstSeenAgoMs: number
  readonly heardAgoMs: number
  readonly isEligible: boolean
}

export type Body =
  | {
      readonly kind: 'hello'
      /** A reply is not answered. */
      readonly isReply: boolean
      /** How many founders the sender expects; 0: it does not found. */
      readonly size: number
      readonly sightings: readonly Sighting[]
    }
  | BallotMessage

export type BallotMessage =
  | { readonly kind: 'prepare'; readonly ballot: Ballot }
  | {
      readonly kind: 'report'
      /** The ballot that is answered. */
      readonly ballot: Ballot
      readonly promised: Ballot
      readonly accepted: Accepted | undefined
    }
  | { readonly kind: 'accept'; readonly ballot: Ballot; readonly genesis: Genesis }
  | { readonly kind: 'accepted'; readonly ballot: Ballot }
  | { readonly kind: 'decided'; readonly genesis: Genesis }

export const sightingsMax = 64
export const messageBytesMax = 65_536
const addressBytesMax = 256
const version = 1

const ballotFields = message({ round: uint(1), proposer: text(2) })
const sightingFields = message({
  id: text(1),
  node: uint(2),
  address: text(3),
  firstSeenAgoMs: uint(4),
  heardAgoMs: uint(5),
  isEligible: bool(6),
})
const helloFields = message({
  isReply: bool(1),
  size: uint(2),
  sightings: repeated(nested(3, sightingFields)),
})
const ballotMessageFields = message({
  ballot: nested(1, ballotFields),
  promised: nested(2, ballotFields),
  acceptedBallot: nested(3, ballotFields),
  genesis: bytes(4),
})
const envelopeFields = message({
  namespace: text(1),
  id: text(2),
  node: uint(3),
  address: text(4),
  cluster: text(5),
  hello: nested(6, helloFields),
  prepare: nested(7, ballotMessageFields),
  report: nested(8, ballotMessageFields),
  accept: nested(9, ballotMessageFields),
  accepted: nested(10, ballotMessageFields),
  decided: nested(11, ballotMessageFields),
})
type RawEnvelope = MessageOf<typeof envelopeFields>
type RawBallotMessage = MessageOf<typeof ballotMessageFields>

const noBytes = new Uint8Array(0)

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const { namespace, from, cluster, body } = envelope
  const raw: RawEnvelope = {
    namespace,
    ...from,
    cluster: cluster ?? '',
    hello: undefined,
    prepare: undefined,
    report: undefined,
    accept: undefined,
    accepted: undefined,
    decided: undefined,
    [body.kind]: rawBody(body),
  }
  const encoded = encodeBytes(envelopeFields, raw)
  const framed = new Uint8Array(1 + encoded.length)
  framed[0] = version
  framed.set(encoded, 1)
  return framed
}

/** Fault 'corrupt' for anything that no correct node sends. */
export function decodeEnvelope(framed: Uint8Array): Envelope {
  if (framed.length > messageBytesMax) throw corrupt(`has ${framed.length} bytes`)
  if (framed[0] !== version) throw corrupt(`has version ${framed[0]}`)
  const raw = decodeBytes(envelopeFields, framed.subarray(1))
  if (raw.namespace.length > namespaceBytesMax) throw corrupt('has a long namespace')
  if (raw.cluster !== '' && !isFounderId(raw.cluster)) throw corrupt('names no cluster')
  return {
    namespace: raw.namespace,
    from: checkSender(raw),
    cluster: raw.cluster === '' ? undefined : clusterId(raw.cluster),
    body: readBody(raw),
  }
}

function rawBody(body: Body): MessageOf<typeof helloFields> | RawBallotMessage {
  const empty = {
    ballot: undefined,
    promised: undefined,
    acceptedBallot: undefined,
    genesis: noBytes,
  }
  switch (body.kind) {
    case 'hello':
      return body
    case 'report':
      return {
        ballot: body.ballot,
        promised: body.promised,
        acceptedBallot: body.accepted?.ballot,
        genesis: body.accepted === undefined ? noBytes : encodeGenesis(body.accepted.genesis),
      }
    case 'accept':
      return { ...empty, ballot: body.ballot, genesis: encodeGenesis(body.genesis) }
    case 'decided':
      return { ...empty, genesis: encodeGenesis(body.genesis) }
    default:
      return { ...empty, ballot: body.ballot }
  }
}

function readBody(raw: RawEnvelope): Body {
  const bodies: Body[] = []
  if (raw.hello !== undefined) bodies.push(readHello(raw.hello))
  if (raw.prepare !== undefined) {
    bodies.push({ kind: 'prepare', ballot: readBallot(raw.prepare.ballot) })
  }
  if (raw.report !== undefined) bodies.push(readReport(raw.report))
  if (raw.accept !== undefined) {
    const genesis = decodeGenesis(raw.accept.genesis)
    bodies.push({ kind: 'accept', ballot: readBallot(raw.accept.ballot), genesis })
  }
  if (raw.accepted !== undefined) {
    bodies.push({ kind: 'accepted', ballot: readBallot(raw.accepted.ballot) })
  }
  if (raw.decided !== undefined) {
    bodies.push({ kind: 'decided', genesis: decodeGenesis(raw.decided.genesis) })
  }
  const [body] = bodies
  if (body === undefined || bodies.length > 1) throw corrupt(`has ${bodies.length} bodies`)
  return body
}

function readHello(raw: MessageOf<typeof helloFields>): Body {
  if (raw.sightings.length > sightingsMax) throw corrupt('has too many sightings')
  const sightings = raw.sightings.map((sighting) => {
    if (sighting === undefined) throw corrupt('has an empty sighting')
    const { firstSeenAgoMs, heardAgoMs, isEligible } = sighting
    return { ...checkSender(sighting), firstSeenAgoMs, heardAgoMs, isEligible }
  })
  return { kind: 'hello', isReply: raw.isReply, size: raw.size, sightings }
}

function readReport(raw: RawBallotMessage): Body {
  const ballot = readBallot(raw.ballot)
  const promised = readBallot(raw.promised)
  if (raw.acceptedBallot === undefined && raw.genesis.length === 0) {
    return { kind: 'report', ballot, promised, accepted: undefined }
  }
  const accepted = {
    ballot: readBallot(raw.acceptedBallot),
    genesis: decodeGenesis(raw.genesis),
  }
  return { kind: 'report', ballot, promised, accepted }
}

function readBallot(raw: Ballot | undefined): Ballot {
  if (raw === undefined || raw.round === 0 || !isBallot(raw)) throw corrupt('lacks a ballot')
  return { round: raw.round, proposer: raw.proposer }
}

function checkSender(raw: {
  readonly id: string
  readonly node: number
  readonly address: string
}): Sender {
  const { id, node, address } = raw
  if (!isFounderId(id) || node === 0) throw corrupt('names no incarnation')
  if (address.length > addressBytesMax) throw corrupt('has a long address')
  return { id, node: nodeId(node), address }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `a founding message ${what}`)
}
