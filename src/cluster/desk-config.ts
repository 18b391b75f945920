// The operator's settings at the desk: read, changed, and brought back from their history. Each change makes the next
// cluster.json in the same transaction.

import { Fault } from '../base/index.ts'
import { checkClusterConfig, configDefaults } from './core/cluster-config.ts'
import { put, unchanged } from './core/compares.ts'
import {
  authorityKey,
  configCodec,
  configHistoryKey,
  configHistoryPrefix,
  configKey,
  type ConfigRecord,
} from './core/enrolment-records.ts'
import type { DeskDeps } from './create-desk.ts'
import { attemptsMax, requireSealKeyOf } from './desk-limits.ts'
import type { ClusterConfig, ConfigVersion } from './enrolment.ts'
import { listBelow, readSystem, type SystemSight } from './system-sight.ts'
import { nextBundle } from './trust-state.ts'

const versionsMax = 100

export class ConfigDesk {
  readonly #deps: DeskDeps

  constructor(deps: DeskDeps) {
    this.#deps = deps
  }

  async read(): Promise<ConfigVersion> {
    return newest(await readSystem(this.#deps.system))
  }

  async change(
    change: (config: ClusterConfig) => ClusterConfig,
    changedBy: string,
  ): Promise<ConfigVersion> {
    const { system, host } = this.#deps
    const sealKey = requireSealKeyOf(this.#deps)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const sight = await readSystem(system)
      const before = newest(sight)
      const config = checkClusterConfig(change(before.config))
      const changedMs = Math.floor(host.clock.wallMs())
      const record: ConfigRecord = { version: before.version + 1, changedMs, changedBy, config }
      const bundle = nextBundle(sight, { nowMs: changedMs, sealKey, config })
      const value = configCodec.encode(record)
      const oldest = configHistoryKey(Math.max(0, record.version - versionsMax) + 1)
      const answer = await system.txn({
        compares: [
          unchanged(configKey, sight.configKv),
          unchanged(authorityKey, sight.authorityKv),
          ...bundle.compares,
        ],
        success: [
          put(configKey, value),
          put(configHistoryKey(record.version), value),
          ...bundle.operations,
          ...(record.version > versionsMax
            ? [{ kind: 'delete', key: configHistoryPrefix, rangeEnd: oldest } as const]
            : []),
        ],
        failure: [],
      })
      if (answer.succeeded) return record
    }
    throw new Fault('conflict', 'too many changes at once of the settings')
  }

  async history(): Promise<readonly ConfigVersion[]> {
    const kvs = await listBelow(this.#deps.system, configHistoryPrefix)
    return kvs.map((kv) => configCodec.decode(kv.value)).reverse()
  }

  async rollback(version: number, by: string): Promise<ConfigVersion> {
    const history = await this.history()
    const wanted = history.find((one) => one.version === version)
    if (wanted === undefined) {
      const kept = history.map((one) => one.version).slice(0, 20)
      throw new Fault('not-found', `there is no version ${version} of the settings`, {
        next: kept.length === 0 ? 'nothing was ever set' : `there are ${kept.join(', ')}`,
      })
    }
    return await this.change(() => wanted.config, by)
  }
}

function newest({ config }: SystemSight): ConfigVersion {
  return config ?? { version: 0, changedMs: 0, changedBy: '', config: configDefaults }
}
