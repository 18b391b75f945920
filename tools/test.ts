// `npm test`: the check, then everything else that can run here: the published Raft scripts, stock
// clients and published vectors against real nodes, and clusters of real processes under failures.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkSteps } from './check.ts'
import { programStep, root, runSteps, type Step, testFiles, testStep } from './steps.ts'

/** The published scripts lie beside the project; without them the step is skipped, and says so. */
function raftScripts(): Step | undefined {
  const place = join(root, '..', 'shared', 'vectors', 'raft-scripts')
  if (existsSync(place)) return programStep('raft scripts', 'tools/raft-scripts.ts', [place])
  console.log(`raft scripts: skipped, ${place} is absent`)
  return undefined
}

/** The adapter's packages are installed apart (`npm ci` in adapters/libp2p), because the project does not depend on them. */
function libp2pAdapter(): Step | undefined {
  const place = join(root, 'adapters', 'libp2p', 'node_modules')
  if (existsSync(place)) return testStep('libp2p adapter', testFiles('adapters/libp2p/*.test.ts'))
  console.log(`libp2p adapter: skipped, ${place} is absent`)
  return undefined
}

/** What waits most of its time, for certificates to end, for space, for packages: two at a time, the longest first. */
const patientNames = ['leaving', 'damage', 'netns', 'mixed', 'places', 'certificates', 'package']
const patient = patientNames.map((name) => `test/e2e/${name}.test.ts`)
const clusters = testFiles('test/e2e/**/*.test.ts').filter((file) => !patient.includes(file))

const { passed, failed } = await runSteps([
  ...checkSteps(),
  raftScripts(),
  programStep('simulated seeds', 'tools/fixed-seeds.ts'),
  programStep('founding explored', 'sim/main.ts', ['--workload', 'founding', '--explore']),
  libp2pAdapter(),
  testStep('conformance', testFiles('test/conformance/**/*.test.ts'), true),
  testStep('end to end', clusters, true),
  testStep('end to end, patient', patient, true, 2),
])
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
