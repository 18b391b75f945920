// Names of the namespaces that the node itself opens for its gateways. Apart, so that the core thread learns a
// name without loading a gateway.

/** What clients of etcd see: an ordinary namespace with a group of its own. */
export const etcdNamespace = '/raft/etcd'
