// `atoll admin ...` on members that come and go: what each command is called, takes and explains. The work is in
// leaving.ts, which is loaded when one is chosen.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { adminGroup } from './admin-group.ts'
import type { LeavingCommand } from './leaving.ts'
import { parseCount, parseRatio } from './options.ts'

type Flags = {
  readonly dataDir: string
  readonly ask?: string
  readonly json?: boolean
  readonly cancel?: boolean
  readonly force?: boolean
  readonly detach?: boolean
  readonly bind?: string
  readonly share?: string
}

type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
}

const forceHelp = 'do it although something is lost or risked; what, is said'

export function addLeavingCommands(program: Command, parts: Parts): void {
  const admin = adminGroup(program)
  add(admin, parts, {
    usage: 'drain <node>',
    text: 'Move shards, leaderships and votes away from a node, so that it can be removed.',
    after: `
Nothing ever has a copy less: each shard is copied, then renamed, then released. The node serves meanwhile. The
command shows what is left and an estimate, and ends when the node is empty; --detach lets it go on by itself.

Examples:
  atoll admin drain 4
  atoll admin drain node-4 --json
  atoll admin drain 4 --cancel`,
    read: (node, { cancel, force, detach }) => {
      if (cancel === true) return { kind: 'cancel-drain', node }
      return { kind: 'drain', node, isForced: force === true, isDetached: detach === true }
    },
  })
    .option('--cancel', 'stop draining: the node takes shards and votes again')
    .option('--force', forceHelp)
    .option('--detach', 'do not wait until the node is empty')
  add(admin, parts, {
    usage: 'remove <node>',
    text: 'Take a node out of the cluster for good. It is drained first, or it is refused.',
    after: `
A node that still holds data, or without which a group has no majority, is removed with --force only. Its number
is never given to another.

Examples:
  atoll admin remove 4
  atoll admin remove 4 --force`,
    read: (node, { force }) => ({ kind: 'remove', node, isForced: force === true }),
  }).option('--force', forceHelp)
  add(admin, parts, {
    usage: 'replace <node>',
    text: 'Give the place of a node whose disk is lost to a new one, which is rebuilt by the others.',
    after: `
Of a cluster that \`atoll up\` keeps, the new node is started by the next \`atoll up\`. Elsewhere this prints a
token with which a machine joins in that place.

Examples:
  atoll admin replace 2`,
    read: (node) => ({ kind: 'replace', node }),
  })
  add(admin, parts, {
    usage: 'readdress <node>',
    text: 'Tell the cluster that a node, which is stopped, will be found at another address.',
    after: `
Of a cluster that \`atoll up\` keeps, this is all. A machine of its own is told twice, in any order: the cluster, by
asking another member, and the machine, with its own data directory. Once it runs it gets certificates that name the
new address.

Examples:
  atoll admin readdress 2 --bind 10.0.0.7`,
    read: (node, { bind = '' }) => ({ kind: 'readdress', node, host: bind }),
  }).requiredOption('--bind <address>', 'its new address; the ports stay')
  addMoves(admin, parts)
}

/** One parent for all who add commands to it. */
function addMoves(admin: Command, { defaultDataDir, finish }: Parts): void {
  const command = admin
    .command('moves')
    .description('Show what is being moved between nodes, or change how fast it may be.')
    .option('--share <ratio>', 'of what disk and network give when idle (default 0.3)')
  withOptions(command, defaultDataDir)
    .addHelpText('after', '\nExamples:\n  atoll admin moves\n  atoll admin moves --share 0.1\n')
    .action(async () => {
      const flags = command.opts<Flags>()
      const share = flags.share === undefined ? undefined : parseRatio('--share', flags.share)
      await run({ kind: 'moves', share }, flags, finish)
    })
}

function add(
  admin: Command,
  { defaultDataDir, finish }: Parts,
  given: {
    readonly usage: string
    readonly text: string
    readonly after: string
    readonly read: (node: string, flags: Flags) => LeavingCommand
  },
): Command {
  const command = admin.command(given.usage).description(given.text)
  return withOptions(command, defaultDataDir)
    .addHelpText('after', `${given.after}\n`)
    .action(async () => {
      const flags = command.opts<Flags>()
      await run(given.read(command.args[0] ?? '', flags), flags, finish)
    })
}

function withOptions(command: Command, defaultDataDir: string): Command {
  return command
    .option('--data-dir <dir>', 'the directory that `atoll up` uses', defaultDataDir)
    .option('--ask <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON, one line each time something has changed')
}

async function run(command: LeavingCommand, flags: Flags, finish: Parts['finish']): Promise<void> {
  const { leavingCommand } = await import('./leaving.ts')
  await finish(() =>
    leavingCommand(command, {
      dataDir: resolve(flags.dataDir),
      ask: flags.ask === undefined ? undefined : parseCount('--ask', flags.ask, [1, 999_999_999]),
      isJson: flags.json === true,
    }),
  )
}
