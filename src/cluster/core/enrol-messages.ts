// What travels at a join, as JSON: the request with the document's exchange payload (cluster_id, node_id, addr,
// version, caps, ts) and ours, and the answer. Everything is bounded and checked before it is believed.
//
// The transcript is the canonical JSON of every field of the request that counts, the key of the server that it was
// made for among them. Over it go two proofs: `signature` by the node's own key, and with a token `proof`,
// HMAC-SHA-256 keyed by SHA-256 of the token's secret. So a relay cannot change a field, cannot use the request
// on another server, and learns nothing that opens a second request.

import {
  equalSecret,
  Fault,
  fromHex,
  hmacSha256,
  isFault,
  nodeId,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import type { JoinAnswer, JoinFields, JoinMember, JsonValue } from '../enrolment.ts'
import { canonicalJson, readJsonText } from './canonical-json.ts'
import { formatAddress, JsonFields } from './json-fields.ts'
import { checkLabels } from './placement-rule.ts'

const domain = 'atoll join v1\n'
/** A request for a certificate is below 1 KiB. */
const requestPemMax = 16 * 1024
export const joinBytesMax = 64 * 1024
const answerBytesMax = 4 * 1024 * 1024
const membersMax = 4096

const clusterRule = { charsMax: 32, pattern: /^([0-9a-f]{32})?$/, what: 'the id of a cluster' }
export const nodeNameRule = {
  charsMax: 63,
  pattern: /^[A-Za-z0-9][A-Za-z0-9.-]*$/,
  what: "a name of letters, digits, '.' and '-'",
}
const placeRule = {
  charsMax: 64,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  what: 'a name of letters, digits and . _ -',
}
const versionRule = {
  charsMax: 32,
  pattern: /^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}([-+][A-Za-z0-9.-]{1,20})?$/,
  what: 'a version like 0.1.0',
}
const capRule = { charsMax: 32, countMax: 32, pattern: /^[a-z][a-z0-9-]*$/, what: 'a capability' }
const hashRule = { charsMax: 64, pattern: /^[0-9a-f]{64}$/, what: 'a SHA-256' }
const signatureRule = { charsMax: 256, pattern: /^([0-9a-f]{2})+$/, what: 'a signature' }
const tokenRule = { charsMax: 6, pattern: /^[0-9A-HJKMNP-TV-Z]{6}$/, what: 'the id of a token' }
const pemRule = { charsMax: requestPemMax }
const labelsMax = 32

export type JoinRequest = {
  readonly fields: JoinFields
  readonly nodeRequestPem: string
  readonly serverRequestPem: string
  /** Hash of the key of the server that it was made for. */
  readonly serverKeyHash: string
  readonly tokenId: string | undefined
  readonly proof: Uint8Array | undefined
  readonly signature: Uint8Array
}

/** What both proofs are over. */
export type Transcribed = Omit<JoinRequest, 'proof' | 'signature'>

export function transcriptOf(request: Transcribed): Uint8Array {
  return utf8Encode(domain + canonicalJson(jsonOf(request)))
}

export function proofOf(proofKey: Uint8Array, transcript: Uint8Array): Uint8Array {
  return hmacSha256(proofKey, transcript)
}

/** In constant time. */
export function isProof(
  proof: Uint8Array | undefined,
  proofKey: Uint8Array,
  transcript: Uint8Array,
): boolean {
  return proof !== undefined && equalSecret(proof, proofOf(proofKey, transcript))
}

function jsonOf(request: Transcribed): { readonly [name: string]: JsonValue } {
  const { fields, tokenId } = request
  return {
    cluster_id: fields.clusterId,
    node_id: fields.name,
    addr: formatAddress(fields.admin),
    version: fields.version,
    caps: fields.caps,
    ts: fields.ts,
    region: fields.region,
    zone: fields.zone,
    control: formatAddress(fields.control),
    bulk: formatAddress(fields.bulk),
    s3: formatAddress(fields.s3),
    labels: fields.labels,
    capacity_bytes: fields.capacityBytes,
    node_request: request.nodeRequestPem,
    server_request: request.serverRequestPem,
    server: request.serverKeyHash,
    ...(tokenId === undefined ? {} : { token: tokenId }),
  }
}

export function renderJoinRequest(request: JoinRequest): Uint8Array {
  const { proof, signature } = request
  const body = {
    ...jsonOf(request),
    signature: toHex(signature),
    ...(proof === undefined ? {} : { proof: toHex(proof) }),
  }
  return utf8Encode(`${JSON.stringify(body)}\n`)
}

/** The body of `POST /join`. Fault 'invalid' that names the field. */
export function readJoinRequest(body: Uint8Array): JoinRequest {
  if (body.length > joinBytesMax) throw new Fault('too-large', 'the join request is too long')
  return readRequest(readJsonText(utf8Decode(body), joinBytesMax))
}

function readRequest(value: unknown): JoinRequest {
  const given = new JsonFields(value, 'join request')
  const hex = (name: string, rule: typeof hashRule): Uint8Array => {
    return fromHex(given.text(name, rule)) ?? new Uint8Array(0)
  }
  const labels = given.labels('labels', labelsMax)
  checkLabels(labels)
  return {
    fields: {
      clusterId: given.text('cluster_id', clusterRule),
      name: given.text('node_id', nodeNameRule),
      region: given.text('region', placeRule),
      zone: given.text('zone', placeRule),
      admin: given.address('addr'),
      control: given.address('control'),
      bulk: given.address('bulk'),
      s3: given.address('s3'),
      caps: given.texts('caps', capRule),
      labels,
      capacityBytes: given.integer('capacity_bytes', { least: 0, most: Number.MAX_SAFE_INTEGER }),
      version: given.text('version', versionRule),
      ts: given.integer('ts', { least: 0, most: 100_000_000_000 }),
    },
    nodeRequestPem: given.text('node_request', pemRule),
    serverRequestPem: given.text('server_request', pemRule),
    serverKeyHash: given.text('server', hashRule),
    tokenId: given.optionalText('token', tokenRule),
    proof: given.has('proof') ? hex('proof', hashRule) : undefined,
    signature: hex('signature', signatureRule),
  }
}

/** The body of a 200 or 202. Field names of the documents where they have one. */
export function renderJoinAnswer(answer: JoinAnswer): JsonValue {
  if (answer.kind === 'pending') {
    const { fingerprint, retrySeconds } = answer
    return { status: 'pending', fingerprint, retry_seconds: retrySeconds }
  }
  return {
    status: 'joined',
    cluster_id: answer.clusterId,
    id: answer.nodeId,
    node_id: answer.name,
    node_certificate: answer.nodeCertificatePem,
    server_certificate: answer.serverCertificatePem,
    authority: answer.authorityPem,
    PredastoreConfig: answer.topologyText,
    bundle: answer.bundleText,
    founders: answer.founders,
    members: answer.members.map((member) => ({
      id: member.id,
      node_id: member.name,
      addr: formatAddress(member.admin),
      control: formatAddress(member.control),
      bulk: formatAddress(member.bulk),
      s3: formatAddress(member.s3),
    })),
  }
}

/** Fault 'corrupt' for what is no answer. */
export function parseJoinAnswer(body: Uint8Array): JoinAnswer {
  try {
    if (body.length > answerBytesMax) throw new Fault('invalid', 'the answer is too long')
    return readAnswer(JSON.parse(utf8Decode(body)))
  } catch (error) {
    const what = isFault(error) ? error.message : 'this is not JSON'
    throw new Fault('corrupt', `the answer cannot be read: ${what}`, { cause: error })
  }
}

function readAnswer(value: unknown): JoinAnswer {
  const given = new JsonFields(value, 'join answer')
  if (given.text('status', { charsMax: 16 }) === 'pending') {
    const fingerprint = given.text('fingerprint', { charsMax: 64 })
    const retrySeconds = given.integer('retry_seconds', { least: 1, most: 3600 })
    return { kind: 'pending', fingerprint, retrySeconds }
  }
  const pem = { charsMax: 64 * 1024 }
  const number = { least: 1, most: 0xffff_ffff }
  const founders = given.list('founders', membersMax).map((id) => {
    return nodeId(new JsonFields({ id }, 'join answer: founders').integer('id', number))
  })
  return {
    kind: 'joined',
    clusterId: given.text('cluster_id', clusterRule),
    nodeId: nodeId(given.integer('id', number)),
    name: given.text('node_id', nodeNameRule),
    nodeCertificatePem: given.text('node_certificate', pem),
    serverCertificatePem: given.text('server_certificate', pem),
    authorityPem: given.text('authority', pem),
    topologyText: given.text('PredastoreConfig', { charsMax: 1024 * 1024 }),
    bundleText: given.text('bundle', { charsMax: 1024 * 1024 }),
    founders,
    members: given.list('members', membersMax).map(readMember),
  }
}

function readMember(value: unknown): JoinMember {
  const given = new JsonFields(value, 'join answer: members')
  return {
    id: nodeId(given.integer('id', { least: 1, most: 0xffff_ffff })),
    name: given.text('node_id', nodeNameRule),
    admin: given.address('addr'),
    control: given.address('control'),
    bulk: given.address('bulk'),
    s3: given.address('s3'),
  }
}
