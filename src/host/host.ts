// Host: every effect a node can have on the world and every fact it can learn from it (laws 3, 4).
// host/real implements it on Node; sim implements it in one process from one seed. Nothing above this
// room reads a clock, draws a random number, opens a file or a socket, or starts a thread otherwise.
//
// Rules that hold for both implementations:
// - Everything asynchronous settles on the caller's own loop. In the simulator the order of settling
//   is drawn from the seed, so no caller may depend on the order of two unrelated operations.
// - Faults are `Fault`s; an unexpected error of the system becomes Fault 'internal' with its cause.
// - A signal that aborts makes the operation fail with Fault 'cancelled'.

import type { ClusterId, Fault, NodeId, Random } from '../base/index.ts'

export type Host = {
  readonly clock: Clock
  /** The system's generator: fit for secrets and ids. Seeded in the simulator. */
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  readonly http: Http
  readonly threads: Threads
  readonly processes: Processes
  readonly journal: Journal
  readonly memory: MemoryMeter
  readonly passwords: Passwords
  readonly pki: Pki
  readonly datagrams: Datagrams
}

export type Clock = {
  /** Milliseconds since 1970 UTC; may jump. For people and protocols that ask for it only. */
  wallMs(): number
  /** Milliseconds since an arbitrary start, with fractions; never goes back. */
  monotonicMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs once after at least `ms`. The timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer
  /**
   * Runs every `ms`, for the first time after half to one and a half of it, so that what has like periods can run
   * together; a late tick counts once (a pause of ten periods gives one run, not ten).
   */
  every(ms: number, run: () => void): Timer
  /** Runs at the end of this turn of the loop, after the callbacks that are due now (setImmediate). */
  soon(run: () => void): void
}
export type Timer = { cancel(): void }

/**
 * Files below one root directory. Paths are relative, with '/'; '..' is refused. Missing parent
 * directories are made. All byte counts are exact: a short read or write is a Fault.
 * A failed sync is reported as Fault 'internal' with field {fatal: 'sync'}; the caller must stop the
 * node (law 12), because the kernel may have dropped the pages. A full disk is Fault 'no-space'.
 */
export type Disk = {
  /** Opens for reading and writing; `create` makes an empty file when there is none. */
  open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile>
  /** Names (not paths) in a directory, sorted by bytes; empty for a missing directory. */
  list(path: string): Promise<readonly string[]>
  exists(path: string): Promise<boolean>
  /** The whole file; Fault 'not-found', or 'too-large' beyond bytesMax. */
  read(path: string, bytesMax: number): Promise<Uint8Array>
  /** Replaces the file atomically and durably (temporary name, sync, rename, sync of directory). */
  replace(path: string, bytes: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** No fault when it does not exist. Directories go with everything in them. */
  remove(path: string): Promise<void>
  /** Makes names in a directory durable after create, rename or remove. */
  syncDirectory(path: string): Promise<void>
  /** Free and total bytes of the file system under the root. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>
  /** The root as the system names it, for engines that open files themselves (SQLite); '' in the simulator. */
  readonly rootPath: string
}

export type DiskFile = {
  /** Reads exactly `count` bytes at `at`; Fault 'corrupt' when the file ends before. */
  read(at: number, count: number): Promise<Uint8Array>
  /** Reads into the parts (their whole length), one after the other; same faults. */
  readInto(at: number, parts: readonly Uint8Array[]): Promise<void>
  /** Writes all of `parts`, one after the other, from `at`. Not durable before sync(). */
  write(at: number, parts: readonly Uint8Array[]): Promise<void>
  /** fdatasync: everything written before is durable after. */
  sync(): Promise<void>
  /** Allocates real blocks up to `length` (zero-filled) so that later writes need no metadata. */
  preallocate(length: number): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

// ---- network: ordered byte connections between nodes ----

/** PEM texts. The simulator uses the ids only. */
export type NodeIdentity = PeerIdentity & {
  /** Certificates of the cluster's authority: whoever they signed may be a peer. */
  readonly authorityPem: string
  readonly certificatePem: string
  readonly privateKeyPem: string
}

export type Address = { readonly host: string; readonly port: number }

/** Who a node is to its peers, as its transport has proved it. */
export type PeerIdentity = { readonly nodeId: NodeId; readonly clusterId: ClusterId }

export type Network = {
  /**
   * TLS 1.3 with certificates on both sides. The peer's id is proved by its certificate's SAN URI
   * `atoll://<clusterId>/node/<nodeId>`, signed by the cluster's authority.
   */
  secured(identity: NodeIdentity): CertifiedTransport
  /** Bytes without any protection, for transports that authenticate and encrypt by themselves. */
  readonly plain: PlainNetwork
}

/**
 * The seam under rpc: secured connections with an authenticated peer id. However a transport proves who the
 * peer is, no side hands a Connection up before the other has proved it, bytes arrive as they were
 * sent or the connection ends, and a peer of another cluster, or a stranger, is refused (and journaled, at most
 * once a second with a count). Whether the peer is a *member* is the caller's question.
 * testing/transport-contract.ts is the suite that every transport passes.
 */
export type Transport = {
  /** Who this node is to the others. */
  readonly self: PeerIdentity
  /** Fault 'exists' with field {port} when the address is taken, also when its holder shares ports. */
  listen(address: Address, options: TransportListenOptions): Promise<Listener>
  /** Fault 'unavailable' when nobody answers within timeoutMs, 'unauthenticated' for a wrong identity. */
  connect(address: Address, options: TransportConnectOptions): Promise<Connection>
}
/** A transport whose certificates can be replaced while it runs. */
export type CertifiedTransport = Transport & {
  /**
   * The same node with newer certificates: every handshake from now on, on listeners too, shows these and trusts
   * their authorities. Connections stay as they are.
   */
  replace(identity: NodeIdentity): void
}

export type TransportListenOptions = {
  readonly onConnection: (connection: Connection) => void
  readonly sharesPort?: PortSharing
  /** A dialling side that has not proved itself by then is cut. Default 10 s. */
  readonly handshakeMsMax?: number
}
export type TransportConnectOptions = {
  readonly expected?: NodeId
  readonly timeoutMs: number
  /**
   * Memory in which the transport may receive. With TLS the view passed to onBytes is of this buffer (`onread`);
   * whoever decrypts into memory of its own receives the ciphertext there.
   */
  readonly receiveBuffer?: Uint8Array
}

/** As Transport, without anybody's identity and without protection. */
export type PlainNetwork = {
  listen(
    address: Address,
    options: {
      readonly onConnection: (connection: ByteConnection) => void
      readonly sharesPort?: PortSharing
    },
  ): Promise<Listener>
  connect(
    address: Address,
    options: Omit<TransportConnectOptions, 'expected'>,
  ): Promise<ByteConnection>
}
/**
 * Several threads of one node on one port: 'first' proves that nobody else holds it (an exclusive bind)
 * and then takes it shared; 'more' joins and is used after the first listens. Absent: exclusive.
 * The simulator, which has one loop, takes each as exclusive.
 */
export type PortSharing = 'first' | 'more'
export type Listener = { readonly address: Address; close(): Promise<void> }

/** A byte connection whose other end has proved who it is. */
export type Connection = ByteConnection & { readonly peer: PeerIdentity }

export type ByteConnection = {
  readonly remoteAddress: string
  /**
   * Queues bytes in order. The views must stay unchanged until they have left, when `onLeft` is called (never,
   * when the connection ends before). Answers false when more than the high-water mark is queued: wait
   * for drained() before sending more.
   */
  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean
  /** Settles when nothing is queued; at once when nothing is; also when the connection has ended. */
  drained(): Promise<void>
  /** Set exactly once, soon after creation; nothing is lost before. The view is valid during the call only. */
  onBytes: (bytes: Uint8Array) => void
  /** Called exactly once, for whatever reason the connection ended. */
  onClose: (reason: Fault | undefined) => void
  /** Stops and resumes receiving (backpressure towards the peer). */
  pause(): void
  resume(): void
  /** Ends it at once; onClose follows. */
  destroy(): void
}

// ---- http: servers for people and programs ----

export type HttpRequest = {
  readonly method: string
  /** The request target exactly as received: path and query, percent-encoding untouched. */
  readonly target: string
  /** In order of arrival, names in lower case, repeated headers repeated. Values are latin-1 text. */
  readonly headers: readonly (readonly [string, string])[]
  /**
   * The body in slices of at most 64 KiB. A slice is valid until the next is asked for. Throws Fault
   * 'invalid' (s3 IncompleteBody) when the client ends early. Not reading applies backpressure. return() ends it, also
   * for who waits for a slice; what the client still sends is thrown away, or the connection closed after the answer.
   */
  readonly body: AsyncIterable<Uint8Array>
  readonly remoteAddress: string
  readonly isSecure: boolean
  /**
   * Of the certificate that the client showed, where it was asked for one: it has the key, and nothing else of it was looked
   * at (who signed it, whether it has ended).
   */
  readonly clientCertificate?: { readonly hash: string } | undefined
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal
  /** The request came over HTTP/2: trailers of the answer reach the client, and the body may go on beside it. */
  readonly isHttp2?: boolean
}

export type HttpResponse = {
  readonly status: number
  /** A list that every answer has is frozen: it is encoded once. */
  readonly headers: readonly (readonly [string, string])[]
  /**
   * An iterable is sent with backpressure; when it throws, the connection is destroyed. A slice stays
   * unchanged until the next is asked for; the next is asked for once the last was sent.
   */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  /** HTTP/2 only, together with a body: asked for once, when the body has been sent. */
  readonly trailers?: () => readonly (readonly [string, string])[]
}

/** Must not throw: an error here is an assertion and stops the node. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>

export type HttpServerOptions = {
  /** Present: TLS with this certificate. */
  readonly tls?: {
    readonly certificatePem: string
    readonly privateKeyPem: string
    /** Present: only clients with a certificate of this authority become connections. HTTP/2 servers only. */
    readonly clientAuthorityPem?: string
    /**
     * Present: clients are asked for a certificate, and served with or without one. The authorities tell their programs which
     * of several is meant.
     */
    readonly askedAuthorityPem?: string
  }
  /** HTTP/2 beside HTTP/1.1 on the one port: by ALPN with TLS, otherwise by the connection's first bytes. */
  readonly http2?: boolean
  readonly handler: HttpHandler
  /** Header bytes beyond this are answered 431 and the connection closed. Default 16 KiB. */
  readonly headerBytesMax?: number
  /** Idle connections beyond this are closed, oldest first. Default 16,384. */
  readonly connectionsMax?: number
  /**
   * Answer to a malformed request, as the protocol of this server words it; `status` is 400, 408 (headers
   * came too slowly) or 431 (headers too large).
   */
  readonly onMalformed?: (what: string, status: number) => HttpResponse
  readonly sharesPort?: PortSharing
}

/** A listener of HTTP whose certificate can be replaced. */
export type HttpListener = Listener & {
  /** Handshakes from now on show this certificate; connections stay. Nothing without TLS. */
  replaceTls(tls: NonNullable<HttpServerOptions['tls']>): void
}

export type Http = {
  /** Fault 'exists' with field {port} when the address is taken, also when its holder shares ports. */
  serve(address: Address, options: HttpServerOptions): Promise<HttpListener>
  /**
   * A connection of HTTP/2 to a server of others (a database, an identity provider; nodes talk by Network).
   * Faults 'unavailable' when nobody answers within timeoutMs, 'unauthenticated' for a certificate of another
   * authority or name, 'unsupported' in the simulator, which has no such servers.
   */
  connect(address: Address, options: HttpClientOptions): Promise<HttpConnection>
}

export type HttpClientOptions = {
  readonly timeoutMs: number
  /** Present: TLS. Both sides of a pair are given or neither. */
  readonly tls?: {
    /** Absent: the authorities that the system trusts. */
    readonly authorityPem?: string
    readonly certificatePem?: string
    readonly privateKeyPem?: string
    /** The name that the server's certificate must have. Default: the address' host. */
    readonly serverName?: string
  }
}

export type HttpConnection = {
  /** False once it ended or the server said that it takes no more: open another. */
  readonly isOpen: boolean
  /**
   * Begins a request of method POST (what gRPC uses). The answer comes to `receiver`; a connection that is not
   * open fails it at the end of this turn.
   */
  request(request: HttpCallHead, receiver: HttpCallReceiver): HttpCall
  /** Ends it at once; calls under way fail. */
  destroy(): void
}

export type HttpCallHead = {
  readonly path: string
  readonly headers: readonly (readonly [string, string])[]
}

/** Called in order, on the caller's loop; exactly one of onEnd and onFailed comes, last. */
export type HttpCallReceiver = {
  onHead(status: number, headers: ReadonlyMap<string, string>): void
  /** The view is valid during the call only. */
  onBytes(slice: Uint8Array): void
  /** The answer is whole; the last of a repeated trailer counts. */
  onEnd(trailers: ReadonlyMap<string, string>): void
  /** Outcome 'failed' only when the server never saw the request. */
  onFailed(fault: Fault): void
}

export type HttpCall = {
  /** Queues bytes of the request's body, which stay unchanged. */
  send(bytes: Uint8Array): void
  /** The body is whole. */
  end(): void
  /** Stops and resumes receiving; the server is held back meanwhile. */
  pause(): void
  resume(): void
  /** The receiver hears no more, and the server is told. */
  cancel(): void
}

// ---- threads: lanes of one node that share nothing and exchange bytes ----

/**
 * A thread's program. `moduleUrl` is the module that exports `run` under `exportName`, so that the real
 * host can load it in a worker; the simulator (and zero-thread mode) calls `run` on the same loop.
 */
export type ThreadProgram = {
  readonly name: string
  readonly moduleUrl: string
  readonly exportName: string
  /** May return early: the thread lives until stop(). Rejecting is an uncaught error. */
  readonly run: (host: Host, port: Port, input: Uint8Array) => Promise<void>
  /**
   * The thread has nothing else to wait for (log): its disk calls block it instead of going through
   * the pool that all threads share, where a sync waits behind bulk writes.
   */
  readonly blockingDisk?: boolean
  /**
   * Half of the memory for objects that die young: more where many requests are under way at once, which
   * otherwise are copied with each collection. Default 2.
   */
  readonly semiSpaceMebibytes?: number
}

/** One end of a byte channel. Messages arrive in order, none is lost while both ends live. */
export type Port = {
  /**
   * Sends a copy; with `transfer` the buffer's ownership moves (the sender's view becomes empty) when
   * the view covers its whole buffer, else it is copied.
   */
  send(message: Uint8Array, options?: { readonly transfer?: boolean }): void
  /** Set once; messages that came before are delivered then. */
  onMessage: (message: Uint8Array) => void
  close(): void
}

export type Threads = {
  /**
   * Starts a program. Its disk has the same root. An uncaught error in it stops the node.
   * `nice` lowers its priority (0 to 19). stop() ends it at once: agree on an end by messages first.
   */
  start(
    program: ThreadProgram,
    input: Uint8Array,
    options?: { readonly nice?: number },
  ): Promise<{ readonly port: Port; stop(): Promise<void> }>
}

// ---- processes: programs of one node that can be killed in the middle of what they do ----

/**
 * As ThreadProgram, in a process of its own: what cannot be interrupted otherwise (a SQLite statement). Of the host it has a
 * port and a clock for durations; its time zone is UTC. The simulator and tests run it on the caller's loop (createLoopProcesses).
 */
export type ProcessProgram = {
  readonly name: string
  readonly moduleUrl: string
  readonly exportName: string
  /** May return early: the process lives until it is killed or the node is gone. */
  readonly run: (port: Port, input: Uint8Array, clock: DurationClock) => Promise<void>
}

export type DurationClock = Pick<Clock, 'monotonicMs'>

export type Processes = {
  /** Settles once the program runs. Fault 'unavailable' when it cannot be started. */
  start(
    program: ProcessProgram,
    input: Uint8Array,
    options: {
      readonly nice?: number
      /** Called at most once, when it ended without kill(): its own crash, or somebody else's signal. */
      readonly onEnd: (fault: Fault) => void
    },
  ): Promise<RunningProcess>
}

export type RunningProcess = {
  readonly port: Port
  /** Ends it at once, whatever it does; settles when it is gone and its files are let go. */
  kill(): Promise<void>
}

/** What a node reports about itself: for people, for `--log json`, and for the simulator's digest. */
export type Journal = {
  /** `event` is 'room.noun_verbed' ('raft.leader_elected'). Fields never hold a secret or object bytes. */
  event(
    level: 'debug' | 'notice' | 'warning' | 'error',
    event: string,
    fields?: JournalFields,
  ): void
  /** Stops the node: the message for people, then the end of the process (in the simulator: a crash). */
  fatal(event: string, error: unknown): never
}
export type JournalFields = Readonly<Record<string, string | number | boolean>>

/**
 * Hashes of passwords, slow and hungry for memory on purpose: scrypt (RFC 7914) with N = 2^cost, r = 8, p = 1,
 * 32 bytes; 2^cost KiB each, so the caller bounds how many run at a time. The simulator's is quick and of no
 * other worth.
 */
export type Passwords = {
  /** `cost` is 10 to 18. */
  stretch(
    password: Uint8Array,
    options: { readonly salt: Uint8Array; readonly cost: number },
  ): Promise<Uint8Array>
}

export type MemoryMeter = { residentBytes(): number }

// ---- datagrams: finding one another on the local network ----

/** UDP. Unsupported in the simulator: nothing that a node needs to run depends on it. */
export type Datagrams = {
  /**
   * Faults 'exists' when the port is taken, 'unavailable' when the system has no such interface or group. What
   * arrives is from anybody: the receiver bounds and checks it.
   */
  open(options: DatagramOptions): Promise<DatagramSocket>
}

export type DatagramOptions = {
  /** 0: any. */
  readonly port: number
  /** Of the interface to use: one of this machine's addresses of version 4. */
  readonly interfaceHost: string
  /** Present: hears what is sent to this group, on a port shared with others who do. */
  readonly group?: string
  /** The view is valid during the call only. */
  readonly onDatagram: (bytes: Uint8Array, from: Address) => void
}

export type DatagramSocket = {
  /** Not further than the local network (time to live 1). Lost without a word when it cannot be sent. */
  send(bytes: Uint8Array, to: Address): void
  close(): Promise<void>
}

// ---- certificates ----

export type PemPair = { readonly certificatePem: string; readonly privateKeyPem: string }

/**
 * X.509 (RFC 5280), EC P-256 keys, ECDSA with SHA-256. Private keys and requests are PKCS 8 and PKCS 10 in PEM. Loaded
 * on first use, because most nodes issue nothing. The simulator's has certificates of its own form, whose
 * signatures are verified just the same (signed-pki.ts).
 */
export type Pki = {
  /** Signs itself; may sign leaves and nothing below them. */
  makeAuthority(subject: {
    readonly subjectName: string
    readonly notBeforeMs: number
    readonly notAfterMs: number
  }): Promise<PemPair>
  /** A new key, and a request that proves its possession. The key is for this node's disk alone. */
  makeRequest(subjectName: string): Promise<CertificateRequest>
  /**
   * Who asks, once the request's signature has proved that it has the key. Fault 'invalid' for what is no
   * request, or not proved, or another kind of key. `requestPem` is at most 16 KiB.
   */
  readRequest(
    requestPem: string,
  ): Promise<{ readonly subjectName: string; readonly keyHash: string }>
  /** ECDSA with SHA-256 over the bytes: 64 bytes, the two numbers one after the other. */
  sign(privateKeyPem: string, bytes: Uint8Array): Promise<Uint8Array>
  /** Whether the key that `requestPem` asks for made this signature. */
  isSignedBy(
    requestPem: string,
    signed: { readonly bytes: Uint8Array; readonly signature: Uint8Array },
  ): Promise<boolean>
  /** A certificate for the request's key. Nothing else of the request is believed. */
  issue(
    authority: PemPair,
    leaf: CertificateLeaf & { readonly requestPem: string },
  ): Promise<string>
  /** The first certificate of the text, whoever signed it. Fault 'invalid' for anything else. */
  readCertificate(certificatePem: string): Promise<Certificate>
  /**
   * The first certificate of the text, if one of `authorityPem` signed it and it is valid at `atMs`; Fault
   * 'unauthenticated' otherwise.
   */
  verify(
    certificatePem: string,
    under: { readonly authorityPem: string; readonly atMs: number },
  ): Promise<Certificate>
}

export type CertificateRequest = { readonly requestPem: string; readonly privateKeyPem: string }

export type CertificateLeaf = {
  readonly subjectName: string
  readonly uris: readonly string[]
  /** Addresses and names of hosts. Fault 'invalid' for what is neither. */
  readonly hosts: readonly string[]
  /** 'node': both ends of a connection between nodes; 'server', 'client': that end only. */
  readonly usage: 'node' | 'server' | 'client'
  readonly notBeforeMs: number
  /** Cut to the authority's own end. */
  readonly notAfterMs: number
}

export type Certificate = {
  /** Lower-case hexadecimal, without leading zeros. */
  readonly serial: string
  readonly subjectName: string
  readonly uris: readonly string[]
  readonly hosts: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly isAuthority: boolean
  /** SHA-256 of its SubjectPublicKeyInfo, lower-case hexadecimal: names the key whoever signs it. */
  readonly keyHash: string
  /** SHA-256 of the whole certificate, lower-case hexadecimal. */
  readonly hash: string
}
