// A second door of this room, to the two files that people write: cluster.toml and node.toml. Apart from
// the first, because reading them needs parsers that only the command loads.

export { parseEndpoint, parseHost, parseHostList } from './core/address-list.ts'
export {
  findNodeIdByHost,
  type NodeFile,
  nodeIdVariables,
  parseNodeFile,
  renderNodeFile,
  resolveNodeId,
} from './core/node-file.ts'
export { parseTopology, topologyBytesMax } from './core/topology-file.ts'
