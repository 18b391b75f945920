// `npm test`: the check, then everything else that can run here: the published Raft scripts, stock
// clients and published vectors against real nodes, and clusters of real processes under failures.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkSteps } from './check.ts'
import { programStep, root, runSteps, type Step, testFiles, testStep } from './steps.ts'

/** Where the published scripts lie: given by the environment, else beside the tests. */
function raftScripts(): Step | undefined {
  const places = [process.env.RAFT_SCRIPTS ?? '', join(root, 'test/conformance/raft-scripts')]
  const found = places.find((place) => place !== '' && existsSync(place))
  return found === undefined
    ? undefined
    : programStep('raft scripts', 'tools/raft-scripts.ts', [found])
}

const { passed, failed } = await runSteps([
  ...checkSteps(),
  raftScripts(),
  testStep('conformance', testFiles('test/conformance/**/*.test.ts'), true),
  testStep('end to end', testFiles('test/e2e/**/*.test.ts'), true),
])
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
