// `atoll admin operator ...`: people who log in to the console. Passwords are drawn by the node and told once, or read from a file:
// never given on the command line, where everybody on the machine can read them.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'
import { adminGroup } from './admin-group.ts'
import { type Answer, listed, moment, text } from './access-command.ts'
import { addSpec, type Flags, type Parts, type Spec } from './access-spec.ts'
import { readText } from './files.ts'

const passwordOption = [
  '--password-file <file>',
  "take the password from the file's first line (default: the node draws one)",
] as const

const specs: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: 'Make an operator of the console; the password is told once.',
    example: 'create ann --scopes metadata',
    options: [
      ['--scopes <list>', 'metadata, replication, admin (default: admin, which is everything)'],
      passwordOption,
    ],
    read: ([name = ''], flags) => ({
      method: 'POST',
      path: 'operators',
      body: { name, ...scopesOf(flags), ...passwordOf(flags) },
    }),
    show: told,
  },
  {
    usage: 'password <name>',
    about: 'Give an operator another password; open sessions end.',
    example: 'password ann',
    options: [passwordOption],
    read: ([name = ''], flags) => ({
      method: 'POST',
      path: `operators/${encodeURIComponent(name)}/password`,
      body: passwordOf(flags),
    }),
    show: told,
  },
  {
    usage: 'remove <name>',
    about: 'Remove an operator; open sessions end.',
    example: 'remove ann',
    read: ([name = '']) => ({ method: 'DELETE', path: `operators/${encodeURIComponent(name)}` }),
    show: () => 'removed',
  },
  {
    usage: 'list',
    about: 'List the operators of the console.',
    example: 'list',
    read: () => ({ method: 'GET', path: 'operators' }),
    show: listed('operators', [
      ['operator', text('name')],
      ['scopes', text('scopes')],
      ['created', moment('createdMs')],
      ['changed', moment('changedMs')],
    ]),
  },
]

/** Adds to `atoll admin`, which is made when nobody has. */
export function addOperatorCommands(program: Command, parts: Parts): void {
  const admin = adminGroup(program)
  const parent = admin.command('operator').description('People who log in to the console.')
  for (const spec of specs) addSpec(parent, spec, { parts, place: 'admin operator' })
}

function scopesOf({ scopes }: Flags): { readonly scopes?: readonly string[] } {
  return typeof scopes === 'string' ? { scopes: scopes.split(',') } : {}
}

function passwordOf({ passwordFile }: Flags): { readonly password?: string } {
  if (typeof passwordFile !== 'string') return {}
  const whole = readText(resolve(passwordFile))
  if (whole === undefined) throw new Fault('invalid', `there is no file ${passwordFile}`)
  const [password = ''] = whole.split(/\r?\n/, 1)
  if (password !== '') return { password }
  throw new Fault('invalid', `the first line of ${passwordFile} is empty`)
}

function told(operator: Answer): string {
  const first = `operator: ${operator.name}\nscopes:   ${text('scopes')(operator)}`
  if (operator.password === undefined) return first
  return `${first}\npassword: ${operator.password}\nThe password is not shown again.`
}
