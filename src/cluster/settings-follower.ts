// A node's copy of cluster.json: follows the namespace, takes what planBundleChange() lets it take, and has it on disk
// before it says that it has. What is refused stays in the namespace and is told in the journal, once.

import {
  Fault,
  isFault,
  sha256,
  toHex,
  utf8Decode,
  utf8Encode,
  type ClusterId,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { bundleCodec, bundleKey } from './core/enrolment-records.ts'
import { identityFiles } from './core/identity-files.ts'
import {
  type Bundle,
  bundleBytesMax,
  planBundleChange,
  readBundle,
} from './core/settings-bundle.ts'

export class SettingsFollower {
  readonly #deps: { readonly host: Pick<Host, 'disk' | 'journal'>; readonly system: Keyspace }
  readonly #clusterId: ClusterId
  #held: Bundle | undefined
  #digest = ''
  #refused = ''

  constructor(
    deps: { readonly host: Pick<Host, 'disk' | 'journal'>; readonly system: Keyspace },
    clusterId: ClusterId,
  ) {
    this.#deps = deps
    this.#clusterId = clusterId
  }

  /** Of what is on disk. */
  get held(): { readonly epoch: number; readonly digest: string } {
    return { epoch: this.#held?.epoch ?? 0, digest: this.#digest }
  }

  /** Reads the copy on disk. One that was changed counts as none, and is replaced. */
  async open(): Promise<void> {
    const { disk, journal } = this.#deps.host
    if (!(await disk.exists(identityFiles.bundle))) return
    try {
      const text = utf8Decode(await disk.read(identityFiles.bundle, bundleBytesMax))
      this.#hold(readBundle(text))
    } catch (error) {
      if (!isFault(error)) throw error
      journal.event('warning', 'cluster.settings_damaged', { reason: error.message })
    }
  }

  /** Takes the namespace's bundle as this node's replica has it. A fault of the disk is thrown: to be tried again. */
  async follow(): Promise<void> {
    const { host, system } = this.#deps
    const kv = (await system.range({ key: bundleKey, isSerializable: true })).kvs[0]
    if (kv === undefined) return
    const { text } = bundleCodec.decode(kv.value)
    if (text === this.#held?.text || text === this.#refused) return
    const offered = this.#judge(text)
    if (offered instanceof Fault) return await this.#refuse(text, offered)
    if (offered === undefined) return
    await host.disk.replace(identityFiles.bundle, utf8Encode(text))
    this.#hold(offered)
    host.journal.event('notice', 'cluster.settings_taken', { epoch: offered.epoch })
  }

  /** The bundle if it is to be taken, undefined if there is nothing to do, why if it must not be. */
  #judge(text: string): Bundle | Fault | undefined {
    try {
      const offered = readBundle(text)
      const change = planBundleChange(this.#held, offered, this.#clusterId)
      if (change.kind === 'refuse') return new Fault('denied', change.why)
      return change.kind === 'keep' ? undefined : offered
    } catch (error) {
      if (!isFault(error)) throw error
      return error
    }
  }

  /**
   * Unless this replica only lags behind: who joins is told the newest bundle, and then catches up through older
   * ones. When nobody can be asked, it is looked at again with the next change.
   */
  async #refuse(text: string, why: Fault): Promise<void> {
    const { host, system } = this.#deps
    try {
      const kv = (await system.range({ key: bundleKey })).kvs[0]
      if (kv === undefined || bundleCodec.decode(kv.value).text !== text) return
    } catch (error) {
      if (!isFault(error)) throw error
      return
    }
    this.#refused = text
    host.journal.event('error', 'cluster.settings_refused', { reason: why.message })
  }

  #hold(bundle: Bundle): void {
    this.#held = bundle
    this.#digest = toHex(sha256(bundle.text))
  }
}
