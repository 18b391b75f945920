export { AssertionFailure, assert, unreachable } from './assert.ts'
export { BoundedQueue } from './bounded-queue.ts'
export { BufferPool } from './buffer-pool.ts'
export {
  compareBytes,
  concatBytes,
  equalBytes,
  fromHex,
  keyAfter,
  prefixEnd,
  readUint64,
  toHex,
  uint64Bytes,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
export {
  type CipherKey,
  cipherKeyBytes,
  cipherNonceBytes,
  cipherTagBytes,
  ed25519Bytes,
  type Ed25519Pair,
  ed25519Pair,
  ed25519Sign,
  ed25519SignatureBytes,
  ed25519Verify,
  importCipherKey,
  openSealed,
  sealParts,
  x25519Agree,
  x25519Bytes,
  type X25519Pair,
  x25519Pair,
} from './cipher.ts'
export {
  bool,
  bytes,
  type Codec,
  codecOf,
  decodeBytes,
  encodeBytes,
  type Field,
  int,
  lazy,
  type Message,
  type MessageOf,
  message,
  nested,
  Reader,
  repeated,
  text,
  uint,
  Writer,
} from './codec.ts'
export {
  Fault,
  type FaultCode,
  faultCodeOf,
  type FaultOptions,
  faultTable,
  isFault,
  type Outcome,
  toFault,
} from './fault.ts'
export { faultCodec } from './fault-codec.ts'
export {
  crc32,
  crc32c,
  type Digest,
  type DigestName,
  digestHex,
  equalSecret,
  hmacSha256,
  sha256,
  startDigest,
} from './hash.ts'
export {
  type ClusterId,
  clusterId,
  type GroupId,
  groupId,
  type LogIndex,
  logIndex,
  type NodeId,
  nodeId,
  type Revision,
  revision,
  type Term,
  term,
} from './ids.ts'
export { checkNamespaceName, namespaceBytesMax } from './namespace-name.ts'
export {
  decodeOutcome,
  decodeParts,
  encodeOutcome,
  encodeOutcomes,
  encodeParts,
  partsMax,
} from './parts.ts'
export { type Random, seededRandom } from './random.ts'
export { mapped, sealedRecord } from './sealed.ts'
