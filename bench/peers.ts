// Running servers of others, named on the command line: 'name=etcd;endpoints=http://127.0.0.1:12379;pids=1,2,3'.

export type Peer = {
  readonly name: string
  readonly endpoints: readonly string[]
  /** On this machine; for CPU and memory. */
  readonly pids: readonly number[]
}

export function parsePeer(spec: string): Peer {
  const fields = Object.fromEntries(spec.split(';').map((part) => part.split(/=(.*)/s).slice(0, 2)))
  return {
    name: fields.name ?? 'peer',
    endpoints: (fields.endpoints ?? '').split(','),
    pids: (fields.pids ?? '').split(',').filter(Boolean).map(Number),
  }
}
