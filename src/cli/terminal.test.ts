import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../base/index.ts'
import { describeFault } from './terminal.ts'

test('what a server says of a failure cannot steer the terminal', () => {
  const fault = new Fault('invalid', 'no\u001b[2K\rall is well\u202e', { next: 'Try\tthis.\u0007' })
  assert.equal(describeFault(fault), 'no\ufffd[2K\ufffdall is well\ufffd\n  next: Try\tthis.\ufffd')
  assert.equal(describeFault(new Fault('invalid', 'Schlüssel 鍵')), 'Schlüssel 鍵')
})
