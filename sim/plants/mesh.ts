// Plants in the mesh: founding, admission, what a member does for itself, reads.

import type { Plant } from './plant.ts'

export const meshPlants: readonly Plant[] = [
  {
    name: 'mesh-founds-alone',
    does: 'founds at once and alone, whatever number of founders is expected',
    workload: 'mesh',
    seedsMax: 5,
    edits: [
      {
        file: 'src/mesh/open-namespace.ts',
        find: 'isForced: forceBootstrap === true,',
        replace: 'isForced: true || forceBootstrap === true,',
      },
    ],
  },
  {
    name: 'mesh-forgotten-voter-returns',
    does: 'takes a voter that has lost its disk back under its number, as if it had its log and votes',
    workload: 'mesh',
    seedsMax: 20,
    edits: [
      {
        file: 'src/mesh/core/admission.ts',
        find: "return isTakenIn ? { kind: 'voter' }",
        replace: "return isTakenIn || node > 0 ? { kind: 'voter' }",
      },
    ],
  },
  {
    name: 'mesh-barrier-skipped',
    does: 'answers a read with a barrier from the replica as it is',
    workload: 'mesh',
    seedsMax: 30,
    edits: [
      {
        file: 'src/mesh/replica.ts',
        find: 'ms: timeoutMs, late })\n  }\n\n  async propose',
        replace: 'ms: timeoutMs, late }).catch(() => {})\n  }\n\n  async propose',
      },
    ],
  },
  {
    name: 'mesh-never-asks-back',
    does: 'does not ask the cluster that has removed it to take it in again',
    workload: 'mesh',
    seedsMax: 20,
    edits: [
      {
        file: 'src/mesh/attendance.ts',
        find: '    if (this.#mayAskBack) {',
        replace: '    if (this.#mayAskBack && self < 0) {',
      },
    ],
  },
]
