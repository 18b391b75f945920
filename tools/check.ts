// `npm run check`: what must be green before every commit, in under two minutes: types, lint, laws, unit
// tests with golden scripts and contract suites, and a smoke of the simulator.

import { join } from 'node:path'
import { programStep, root, runSteps, type Step, testFiles, testStep } from './steps.ts'

/** The steps of the check, for `npm test` to begin with. */
export function checkSteps(): readonly (Step | undefined)[] {
  const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
  // The platform's own package: the one that chooses among them lists platforms that not every registry has.
  const biome = join(
    root,
    'node_modules/@biomejs',
    `cli-${process.platform}-${process.arch}`,
    'biome',
  )
  const sources = ['src', 'sim', 'test', 'tools', 'bench', 'examples', 'adapters', 'console']
  return [
    { name: 'types', command: bin('tsc'), args: ['--noEmit', '-p', root] },
    { name: 'types, console', command: bin('tsc'), args: ['-p', join(root, 'console')] },
    { name: 'lint', command: biome, args: ['check', ...sources] },
    programStep('tidy', 'tools/tidy/main.ts'),
    testStep(
      'unit, golden, contract',
      testFiles(
        'src/**/*.test.ts',
        'tools/**/*.test.ts',
        'test/formats/**/*.test.ts',
        'console/*.test.ts',
      ),
    ),
    testStep('simulation smoke', testFiles('sim/**/*.test.ts')),
  ]
}

if (import.meta.main) {
  const startedMs = Date.now()
  const { passed, failed } = await runSteps(checkSteps())
  console.log(`check: ${Math.round((Date.now() - startedMs) / 1000)} s`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
