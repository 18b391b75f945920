export { Gatherer, type SendParts } from './gatherer.ts'
export { identify } from './identify.ts'
export {
  bulkCallers,
  bulkMethod,
  controlCallers,
  controlMethod,
  meshCallers,
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
