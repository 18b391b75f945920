export { Gatherer, type SendParts } from './gatherer.ts'
export { identify } from './identify.ts'
export {
  bulkCallers,
  bulkMethod,
  type Callers,
  controlCallers,
  controlMethod,
  meshCallers,
  type MethodTable,
} from './methods.ts'
export type {
  CallOptions,
  IncomingCall,
  MethodNumber,
  Rpc,
  RpcLevel,
  RpcLimits,
  RpcOptions,
  RpcStream,
} from './rpc.ts'
export { createRpc, defaultLimits } from './rpc-node.ts'
export { parseSharedKey, type SharedKey } from './shared-key/key.ts'
export { createKeyTransport, type KeyTransportOptions } from './shared-key/key-transport.ts'
