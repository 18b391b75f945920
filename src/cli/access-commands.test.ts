import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Command } from 'commander'
import { isFault } from '../base/index.ts'
import { addAccessCommands, parseSeconds } from './access-commands.ts'

test('times are read strictly', () => {
  assert.deepEqual(
    ['90s', '30m', '24h', '7d', '0s'].map((text) => parseSeconds('--life', text)),
    [90, 1_800, 86_400, 604_800, 0],
  )
  for (const text of ['', '5', 'h', '1.5h', '-1d', '1w', '1h ', '1234567s']) {
    assert.throws(
      () => parseSeconds('--life', text),
      (error) => isFault(error, 'invalid'),
      text,
    )
  }
})

test('every command says what it does, takes --json and has examples', () => {
  const program = new Command('atoll')
  const parts = { defaultDataDir: '.atoll', finish: async () => undefined, readId: Number }
  program.command('admin').command('init')
  addAccessCommands(program, parts)
  const admin = program.commands.filter((command) => command.name() === 'admin')
  assert.equal(admin.length, 1)
  const leaves: Command[] = []
  const collect = (command: Command): void => {
    if (command.commands.length === 0) leaves.push(command)
    for (const inner of command.commands) collect(inner)
  }
  for (const command of admin[0]?.commands ?? []) if (command.name() !== 'init') collect(command)
  assert.ok(leaves.length >= 25)
  for (const command of leaves) {
    let help = ''
    command.configureOutput({ writeOut: (text) => (help += text) })
    command.outputHelp()
    assert.match(help, /Examples:\n {2}atoll admin .*\n {2}atoll admin .*--json\n/, command.name())
    assert.ok(help.includes('--tenant') && help.includes('--data-dir'), command.name())
    assert.notEqual(command.description(), '')
  }
})
