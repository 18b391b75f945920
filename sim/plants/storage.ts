// Plants below the replicated state: what the log keeps, and what is applied of it.

import type { Plant } from './plant.ts'

export const storagePlants: readonly Plant[] = [
  {
    name: 'log-not-synced',
    does: 'the log acknowledges what it has written and not synced',
    workload: 'raft',
    seedsMax: 10,
    edits: [
      {
        file: 'src/storage/log-lane.ts',
        find: '    await segment.file.sync()\n    this.#lastSyncMs =',
        replace: '    this.#lastSyncMs =',
      },
    ],
  },
  {
    name: 'last-record-cut',
    does: 'recovery takes the last whole record of the log for a torn one and cuts it off',
    workload: 'raft',
    seedsMax: 10,
    edits: [
      {
        file: 'src/storage/log-files.ts',
        find: '  const segments: FoundSegment[] = []\n  for (const scan of kept) segments',
        replace: `  const segments: FoundSegment[] = []
  const whole = kept.pop()
  const lost = whole?.records.at(-1)
  if (whole !== undefined && lost === undefined) kept.push(whole)
  if (whole !== undefined && lost !== undefined) {
    kept.push({ ...whole, records: whole.records.slice(0, -1), end: lost.at })
  }
  for (const scan of kept) segments`,
      },
      {
        file: 'src/storage/log-files.ts',
        find: 'const kept = keptScans(',
        replace: 'const kept = [...keptScans(',
      },
      {
        file: 'src/storage/log-files.ts',
        find: 'keptScans(scans)\n',
        replace: 'keptScans(scans)]\n',
      },
    ],
  },
  {
    name: 'double-apply',
    does: 'the row that says how far the state is applied is written for empty entries only',
    workload: 'raft',
    seedsMax: 10,
    edits: [
      {
        file: 'src/raft/applier.ts',
        find: '    this.#putRow()\n    return applied',
        replace: '    if (normal.length === 0) this.#putRow()\n    return applied',
      },
    ],
  },
]
