// Who may ask. The namespace's guard (keyspace.ts) is the document of users and roles; this thread keeps it as it
// last read it, decides by it, and has every request name the document's revision, so that what takes effect was
// allowed under the document that holds there and then. A request that meets another one is decided again under
// that; one that is refused is refused only after the newest document was asked for.
//
// Reading the keyspace needs no round more than without users; a grant that one node has answered is known at all.

import { Fault, isFault } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { FullKeyspace } from '../../keyspace/index.ts'
import {
  type AuthState,
  type AuthUser,
  decodeAuthState,
  findRole,
  findUser,
  noAuth,
  rootName,
} from './core/auth-state.ts'
import { EtcdRefusal, etcdErrors } from './core/errors.ts'
import { KeyRanges, permissionKinds } from './core/permissions.ts'
import { formatToken, parseToken, type TokenClaim, TokenUses } from './core/token.ts'

/** Times that a request is decided anew because users or roles change meanwhile. */
const attemptsMax = 32
const loadMsMax = 5_000
const nonceBytes = 9
const noRange = new Uint8Array(0)
const deniedErrors: readonly unknown[] = [
  etcdErrors.permissionDenied,
  etcdErrors.userEmpty,
  etcdErrors.invalidToken,
]

type Rights = { readonly isRoot: boolean; readonly reads: KeyRanges; readonly writes: KeyRanges }
type Known = {
  readonly guard: number
  readonly state: AuthState
  readonly rights: Map<string, Rights>
}

/** What one request may do under the document of one revision. The requiring methods throw etcd's refusals. */
export class Permit {
  readonly guard: number
  readonly state: AuthState
  /** Undefined: the asker named nobody, or authentication is off. */
  readonly user: AuthUser | undefined
  readonly claim: TokenClaim | undefined
  readonly #rights: Rights | undefined

  constructor(
    known: Known,
    asker:
      | { readonly user: AuthUser; readonly claim: TokenClaim; readonly rights: Rights }
      | undefined,
  ) {
    this.guard = known.guard
    this.state = known.state
    this.user = asker?.user
    this.claim = asker?.claim
    this.#rights = asker?.rights
  }

  requireUser(): void {
    if (this.state.isEnabled && this.user === undefined) throw new EtcdRefusal(etcdErrors.userEmpty)
  }

  requireRoot(): void {
    this.#require((rights) => rights.isRoot)
  }

  requireRead(key: Uint8Array, rangeEnd: Uint8Array = noRange): void {
    this.#require((rights) => rights.isRoot || rights.reads.covers(key, rangeEnd))
  }

  requireWrite(key: Uint8Array, rangeEnd: Uint8Array = noRange): void {
    this.#require((rights) => rights.isRoot || rights.writes.covers(key, rangeEnd))
  }

  #require(isAllowed: (rights: Rights) => boolean): void {
    if (!this.state.isEnabled) return
    if (this.#rights === undefined) throw new EtcdRefusal(etcdErrors.userEmpty)
    if (!isAllowed(this.#rights)) throw new EtcdRefusal(etcdErrors.permissionDenied)
  }
}

export class Gate {
  readonly #host: Host
  readonly #keyspace: FullKeyspace
  readonly #uses = new TokenUses()
  readonly #listeners = new Set<() => void>()
  #known: Known | undefined
  #loading: Promise<void> | undefined
  #first: Promise<void> | undefined

  constructor(host: Host, keyspace: FullKeyspace) {
    this.#host = host
    this.#keyspace = keyspace
    // It lives as long as the thread's keyspaces do.
    keyspace.onRevision(() => host.clock.soon(() => this.#maybeFollow()))
  }

  /** Settles once some document is known; all who come before share one question. */
  async ready(): Promise<void> {
    if (this.#known !== undefined) return
    this.#first ??= this.#load({ isSerializable: true }).finally(() => {
      this.#first = undefined
    })
    await this.#first
  }

  /** Runs `attempt`, perhaps several times; what it asks of the keyspace names `permit.guard`. */
  async run<T>(token: string | undefined, attempt: (permit: Permit) => Promise<T>): Promise<T> {
    if (this.#known === undefined) await this.ready()
    for (let left = attemptsMax; left > 0; left--) {
      const guard = this.#guard
      try {
        return await attempt(this.permit(token))
      } catch (error) {
        if (!isDenial(error) && !isStale(error)) throw error
        await this.refresh()
        if (isDenial(error) && this.#guard === guard) throw error
      }
    }
    throw new EtcdRefusal(etcdErrors.authRevisionOld)
  }

  /** Under what is known now. Refusal 'invalid auth token'. Only after ready(). */
  permit(token: string | undefined): Permit {
    const known = this.#known
    if (known === undefined) throw new Fault('internal', 'the gate was asked before it was ready')
    if (!known.state.isEnabled || token === undefined) return new Permit(known, undefined)
    const claim = parseToken(token, known.state.tokenKey)
    const nowMs = this.#host.clock.wallMs()
    if (claim === undefined || !this.#uses.renew(token, claim, nowMs)) {
      throw new EtcdRefusal(etcdErrors.invalidToken)
    }
    return this.permitOf(claim)
  }

  /** Of somebody who was believed before, whatever the token's age is now. */
  permitOf(claim: TokenClaim | undefined): Permit {
    const known = this.#known
    if (known === undefined) throw new Fault('internal', 'the gate was asked before it was ready')
    if (!known.state.isEnabled || claim === undefined) return new Permit(known, undefined)
    const user = findUser(known.state, claim.user)
    if (user === undefined || user.serial !== claim.serial) {
      throw new EtcdRefusal(etcdErrors.invalidToken)
    }
    return new Permit(known, { user, claim, rights: rightsOf(known, user) })
  }

  /** For a user of the state of `permit`, who proved to be that. */
  issueToken({ state }: Permit, user: AuthUser): string {
    const nonce = this.#host.random.bytes(nonceBytes)
    const issuedMs = this.#host.clock.wallMs()
    return formatToken({ user: user.name, serial: user.serial, issuedMs, nonce }, state.tokenKey)
  }

  /** A document that this thread has put there itself. */
  learn(guard: number, state: AuthState): void {
    this.#take(guard, state)
  }

  /** The newest document, or where no leader answers the one of this node's replica. */
  async refresh(): Promise<void> {
    try {
      await this.#load({ isSerializable: false })
    } catch (error) {
      if (!isFault(error)) throw error
      await this.#load({ isSerializable: true })
    }
  }

  /** Calls back when another document is known. Answers what ends it. */
  onChange(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => {
      this.#listeners.delete(changed)
    }
  }

  get #guard(): number {
    return this.#known?.guard ?? -1
  }

  /** This node's replica has another document than this thread knows. */
  #maybeFollow(): void {
    if (this.#known === undefined || this.#loading !== undefined) return
    const { guard, heardMsAgo } = this.#keyspace.freshness()
    if (guard <= this.#known.guard || heardMsAgo === Number.POSITIVE_INFINITY) return
    this.#loading = this.#load({ isSerializable: true }).then(
      () => {
        this.#loading = undefined
      },
      () => {
        // The next revision, or the next request, asks again.
        this.#loading = undefined
      },
    )
  }

  async #load({ isSerializable }: { readonly isSerializable: boolean }): Promise<void> {
    const known = Math.max(0, this.#guard)
    const options = { known, isSerializable, deadlineMs: loadMsMax }
    const { revision, document } = await this.#keyspace.guard(options)
    if (revision === 0) this.#take(0, noAuth)
    else if (document.length > 0) this.#take(revision, decodeAuthState(document))
  }

  /** An older one that comes late is not taken. */
  #take(guard: number, state: AuthState): void {
    if (guard <= this.#guard) return
    this.#known = { guard, state, rights: new Map() }
    for (const changed of [...this.#listeners]) changed()
  }
}

/** The keyspace met another document than the request was allowed under. */
function isStale(error: unknown): boolean {
  return isFault(error, 'conflict') && error.fields.guard !== undefined
}

function isDenial(error: unknown): boolean {
  return error instanceof EtcdRefusal && deniedErrors.includes(error.etcd)
}

function rightsOf(known: Known, user: AuthUser): Rights {
  const cached = known.rights.get(user.name)
  if (cached !== undefined) return cached
  const permissions = user.roles.flatMap((name) => findRole(known.state, name)?.permissions ?? [])
  const [read, write] = [permissionKinds.indexOf('READ'), permissionKinds.indexOf('WRITE')]
  const rights = {
    isRoot: user.roles.includes(rootName),
    reads: new KeyRanges(permissions.filter(({ kind }) => kind !== write)),
    writes: new KeyRanges(permissions.filter(({ kind }) => kind !== read)),
  }
  known.rights.set(user.name, rights)
  return rights
}
