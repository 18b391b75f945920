// What the driver, the script runner and tests use of the core.
export { decodeConfChange, encodeConfChange, encodeOlderConfChange } from './confchange-codec.ts'
export { createMemoryStorage, type MemoryStorage } from './memory-storage.ts'
export { formatMessageType } from './messages.ts'
export { formatProgress } from './progress.ts'
export {
  type Moment,
  type Pulse,
  type PulseAck,
  type PulseOutcome,
  Pulses,
  type RestingGroup,
} from './pulses.ts'
export { createRawNode } from './raw-node.ts'
export * from './types.ts'
