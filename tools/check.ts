// `npm run check`: what must be green before every commit, in under two minutes: types, lint, laws, unit
// tests with golden scripts and contract suites, and a smoke of the simulator.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { programStep, root, runSteps, type Step, testFiles, testStep } from './steps.ts'

/** The steps of the check, for `npm test` to begin with. */
export function checkSteps(): readonly (Step | undefined)[] {
  const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
  const sources = ['src', 'sim', 'test', 'tools', 'bench']
  return [
    { name: 'types', command: bin('tsc'), args: ['--noEmit', '-p', root] },
    { name: 'lint', command: bin('biome'), args: ['check', ...sources] },
    programStep('tidy', 'tools/tidy/main.ts'),
    testStep(
      'unit, golden, contract',
      testFiles(
        'src/**/*.test.ts',
        'tools/**/*.test.ts',
        'sim/**/*.test.ts',
        'test/formats/**/*.test.ts',
      ),
    ),
    existsSync(join(root, 'sim/main.ts'))
      ? programStep('simulation smoke', 'sim/main.ts', ['smoke'])
      : undefined,
  ]
}

if (import.meta.main) {
  const startedMs = Date.now()
  const { passed, failed } = await runSteps(checkSteps())
  console.log(`check: ${Math.round((Date.now() - startedMs) / 1000)} s`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
