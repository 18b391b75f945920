// `atoll admin operator ...`: people who log in to the console. Passwords are drawn by the node and told once, or read from a file:
// never given on the command line, where everybody on the machine can read them.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'
import { type AccessCall, type Answer, listed, moment, text } from './access-command.ts'
import { readText } from './files.ts'

type Flags = Readonly<Record<string, string | boolean | undefined>>

type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
  readonly readId: (text: string) => number
}

type Spec = {
  readonly usage: string
  readonly about: string
  readonly example: string
  readonly options?: readonly (readonly [flag: string, about: string])[]
  readonly read: (name: string, flags: Flags) => AccessCall
  readonly show: (answer: Answer) => string
}

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
    read: (name, flags) => ({
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
    read: (name, flags) => ({
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
    read: (name) => ({ method: 'DELETE', path: `operators/${encodeURIComponent(name)}` }),
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
  const known = program.commands.find((command) => command.name() === 'admin')
  const admin = known ?? program.command('admin').description('Administer the cluster.')
  const parent = admin.command('operator').description('People who log in to the console.')
  for (const spec of specs) add(parent, spec, parts)
}

function add(parent: Command, spec: Spec, { defaultDataDir, finish, readId }: Parts): void {
  const command = parent.command(spec.usage).description(spec.about)
  for (const [flag, about] of spec.options ?? []) command.option(flag, about)
  const example = `atoll admin operator ${spec.example}`
  command
    .option('--data-dir <dir>', 'the directory of a node, or the one of `atoll up`', defaultDataDir)
    .option('--node <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExamples:\n  ${example}\n  ${example} --data-dir /srv/atoll --json\n`)
    .action(async () => {
      await finish(async () => {
        const flags = command.opts<Flags>()
        const { accessCommand } = await import('./access-command.ts')
        return accessCommand(spec.read(command.args[0] ?? '', flags), {
          dataDir: resolve(String(flags.dataDir)),
          node: typeof flags.node === 'string' ? readId(flags.node) : undefined,
          isJson: flags.json === true,
          show: spec.show,
        })
      })
    })
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
