// cluster.json: the settings that are the same on every node, as canonical JSON (RFC 8785) with a signature in it.
//
//   {"authorities":[pin,...],"cluster_id":..,"epoch":1,"handovers":[{"from":key,"sig":..,"to":key},...],
//    "members":[{"addr":..,"caps":[..],"id":1,"labels":{..},"node_id":"node1"},...],"revoked":[serial,...],
//    "services":{..},"sig":"ed25519:..","signer":key,"target_size":3}
//
// Signed is 'atoll settings bundle v1\n' and the canonical text without `sig`. A text that is not its own canonical
// form is refused, so that one bundle has one spelling and every changed byte is found.
//
// Whose signature counts: a node takes its first bundle over a connection that proved the cluster, and from then on
// only those of the signer that it holds, or of one to whom that signer handed over, perhaps in several steps: a
// handover names the next key and is signed by the key before it, is announced while the old key still signs, and stays
// in later bundles for nodes that slept meanwhile. `epoch` only rises.
//
// Trap: without the refusal of a different bundle of the same epoch:
//   1. somebody with an old backup of a leader's state makes epoch 7 again, with other members;
//   2. half of the nodes hold one epoch 7, half the other, and each believes itself up to date.

import {
  type ClusterId,
  type Ed25519Pair,
  ed25519Sign,
  ed25519Verify,
  Fault,
  fromHex,
  toHex,
  utf8Encode,
} from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import type { ClusterConfig, JsonValue } from '../enrolment.ts'
import { canonicalJson, readJsonText } from './canonical-json.ts'
import { formatAddress, JsonFields } from './json-fields.ts'

export const bundleBytesMax = 1024 * 1024
const domain = 'atoll settings bundle v1\n'
const signaturePrefix = 'ed25519:'
const hexKey = { charsMax: 64, pattern: /^[0-9a-f]{64}$/, what: 'a key of 32 bytes' }

/** What a bundle says besides who signed which epoch of it. */
export type BundleContent = { readonly [name: string]: JsonValue }

/** A bundle whose text and signature were checked. */
export type Bundle = {
  readonly clusterId: string
  readonly epoch: number
  /** Public keys, hexadecimal. */
  readonly signer: string
  readonly handovers: readonly Handover[]
  readonly text: string
}

/** One key's word that the next may sign too. All hexadecimal. */
export type Handover = { readonly from: string; readonly to: string; readonly sig: string }

export type BundleState = {
  readonly clusterId: ClusterId
  readonly config: ClusterConfig
  /** Everybody; those who are not members are left out. */
  readonly members: readonly Member[]
  /** Pins of the authorities to trust. */
  readonly authorities: readonly string[]
  /** Serials of certificates of removed members that have not expired. */
  readonly revoked: readonly string[]
  /** Oldest first, at most handoversMax. */
  readonly handovers: readonly Handover[]
}

export const handoversMax = 16

/** The same state gives the same content on every node. */
export function bundleContent(state: BundleState): BundleContent {
  const { clusterId, config, members, authorities, revoked, handovers } = state
  const listed = members
    .filter((member) => member.state !== 'removed')
    .sort((a, b) => a.id - b.id)
    .map((member) => ({
      id: member.id,
      node_id: member.name,
      addr: formatAddress(member.admin),
      caps: [...member.caps].sort(),
      labels: member.labels,
    }))
  return {
    cluster_id: clusterId,
    target_size: config.targetSize,
    members: listed,
    services: servicesOf(clusterId, config),
    authorities: [...authorities].sort(),
    revoked: [...revoked].sort(),
    handovers: handovers.map(({ from, to, sig }) => ({ from, to, sig })),
  }
}

/** What an operator set, field by field, over the defaults. */
function servicesOf(clusterId: string, config: ClusterConfig): ClusterConfig['services'] {
  const defaults = defaultServices(clusterId, config.targetSize)
  const names = new Set([...Object.keys(defaults), ...Object.keys(config.services)])
  const entries = [...names].map((name) => [name, { ...defaults[name], ...config.services[name] }])
  return Object.fromEntries(entries)
}

/**
 * The document's settings by capability, and ours. The same in every release: programs that differ here would each make the next
 * epoch of the bundle in turn, for as long as they share a cluster.
 */
export function defaultServices(clusterId: string, targetSize: number): ClusterConfig['services'] {
  const quorum = Math.floor(Math.max(1, targetSize) / 2) + 1
  return {
    control: { quorum },
    ec2: { api_bind: ':9001' },
    ebs: { replicas: Math.min(3, Math.max(1, targetSize)), block_size: 4096 },
    etcd: { api_bind: ':2379' },
    nats: { cluster: clusterId, quorum },
    s3: { api_bind: ':8443', replicas: Math.min(2, Math.max(1, targetSize)) },
  }
}

/** cluster.json with this content. */
export function signBundle(
  content: BundleContent,
  { epoch, pair }: { readonly epoch: number; readonly pair: Ed25519Pair },
): string {
  const body: BundleContent = { ...content, epoch, signer: toHex(pair.publicKey) }
  const signature = ed25519Sign(pair, utf8Encode(domain + canonicalJson(body)))
  return canonicalJson({ ...body, sig: `${signaturePrefix}${toHex(signature)}` })
}

/** Whether a bundle says this already, by this signer, whatever its epoch. */
export function saysTheSame(text: string, content: BundleContent, signer: string): boolean {
  const { epoch, sig, ...rest } = readJsonText(text, bundleBytesMax) as BundleContent
  const isWhole = epoch !== undefined && sig !== undefined
  return isWhole && canonicalJson(rest) === canonicalJson({ ...content, signer })
}

export function signHandover(pair: Ed25519Pair, to: string, clusterId: ClusterId): Handover {
  const sig = toHex(ed25519Sign(pair, handoverBytes(clusterId, to)))
  return { from: toHex(pair.publicKey), to, sig }
}

function handoverBytes(clusterId: string, to: string): Uint8Array {
  return utf8Encode(`atoll settings signer v1\n${clusterId}\n${to}`)
}

/** Checks text and signature, by whomever: whether to take it is planBundleChange(). Fault 'invalid', 'unauthenticated'. */
export function readBundle(text: string): Bundle {
  const value = readJsonText(text, bundleBytesMax)
  const fields = new JsonFields(value, 'cluster.json')
  if (canonicalJson(value) !== text) throw new Fault('invalid', 'cluster.json was changed')
  const signer = fields.text('signer', hexKey)
  const signature = fields.text('sig', {
    charsMax: 136,
    pattern: /^ed25519:[0-9a-f]{128}$/,
    what: 'an Ed25519 signature',
  })
  const { sig: _, ...body } = value as BundleContent
  const bytes = utf8Encode(domain + canonicalJson(body))
  const raw = fromHex(signature.slice(signaturePrefix.length))
  const key = fromHex(signer)
  if (raw === undefined || key === undefined || !ed25519Verify(key, bytes, raw)) {
    throw new Fault('unauthenticated', 'the signature of cluster.json does not match')
  }
  return {
    clusterId: fields.text('cluster_id', { charsMax: 64 }),
    epoch: fields.integer('epoch', { least: 1, most: Number.MAX_SAFE_INTEGER }),
    signer,
    handovers: fields.list('handovers', handoversMax).map(readHandover),
    text,
  }
}

function readHandover(value: unknown): Handover {
  const fields = new JsonFields(value, 'cluster.json: handovers')
  const sig = { charsMax: 128, pattern: /^[0-9a-f]{128}$/, what: 'a signature' }
  return {
    from: fields.text('from', hexKey),
    to: fields.text('to', hexKey),
    sig: fields.text('sig', sig),
  }
}

export type BundleChange =
  | { readonly kind: 'take' }
  | { readonly kind: 'keep' }
  | { readonly kind: 'refuse'; readonly why: string }

/** What a node does with a bundle that was read, while it holds another or none. */
export function planBundleChange(
  held: Bundle | undefined,
  offered: Bundle,
  clusterId: ClusterId,
): BundleChange {
  const refuse = (why: string): BundleChange => ({ kind: 'refuse', why })
  if (offered.clusterId !== clusterId) return refuse(`it is of cluster ${offered.clusterId}`)
  if (held === undefined || held.clusterId !== clusterId) return { kind: 'take' }
  if (held.text === offered.text) return { kind: 'keep' }
  if (offered.epoch < held.epoch) {
    return refuse(`its epoch ${offered.epoch} is older than ${held.epoch}`)
  }
  if (offered.epoch === held.epoch) return refuse(`it is another one of epoch ${held.epoch}`)
  if (!mayFollow(held, offered)) return refuse('nobody handed over to its signer')
  return { kind: 'take' }
}

/** Whether the held bundle's signer handed over to the offered one's; oldest first, so one pass is enough. */
function mayFollow(held: Bundle, offered: Bundle): boolean {
  const trusted = new Set([held.signer])
  for (const { from, to, sig } of [...held.handovers, ...offered.handovers]) {
    if (!trusted.has(from) || trusted.has(to)) continue
    const [key, signature] = [fromHex(from), fromHex(sig)]
    if (key === undefined || signature === undefined) continue
    if (ed25519Verify(key, handoverBytes(held.clusterId, to), signature)) trusted.add(to)
  }
  return trusted.has(offered.signer)
}
