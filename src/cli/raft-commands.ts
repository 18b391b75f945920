// `atoll raft ...` on namespaces: what each command is called, takes and shows. They all find their node alike, print
// JSON alike, and have examples.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RaftCommand } from './raft-command.ts'

type Flags = {
  readonly dataDir: string
  readonly node?: string
  readonly json?: boolean
  readonly local?: boolean
}

type Read = (args: readonly string[], flags: Flags) => RaftCommand

type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
  readonly readId: (text: string) => number
}

const named =
  (kind: 'create' | 'status' | 'members' | 'drop') =>
  ([namespace = '']: readonly string[]): RaftCommand => ({ kind, namespace })

export function addNamespaceCommands(raft: Command, parts: Parts): void {
  const add = (
    usage: string,
    about: { readonly text: string; readonly example: string },
    read: Read,
  ): Command => addCommand(raft, { parts, usage, read, ...about })
  const { readId } = parts
  add(
    'create <namespace>',
    {
      text: 'Open a namespace: a consensus group of its own. Asked again, it is there.',
      example: 'create /raft/cron',
    },
    named('create'),
  )
  add('list', { text: 'List the namespaces that were created.', example: 'list' }, () => ({
    kind: 'list',
  }))
  add(
    'status <namespace>',
    { text: "Show a namespace's group as the asked node has it.", example: 'status /raft/cron' },
    named('status'),
  )
  add(
    'members <namespace>',
    { text: 'Show leader, voters and learners.', example: 'members /raft/cron' },
    named('members'),
  )
  add(
    'set <namespace> <key> <value>',
    { text: 'Write a key.', example: 'set /raft/cron job/7 done' },
    ([namespace = '', key = '', value = '']) => ({ kind: 'set', namespace, key, value }),
  )
  add(
    'get <namespace> <key>',
    { text: 'Read a key; exit status 1 when there is none.', example: 'get /raft/cron job/7' },
    ([namespace = '', key = ''], { local }) => ({
      kind: 'get',
      namespace,
      key,
      isLocal: local === true,
    }),
  ).option('--local', "as the node's own replica has it, without asking the others")
  add(
    'delete <namespace> <key>',
    { text: 'Delete a key.', example: 'delete /raft/cron job/7' },
    ([namespace = '', key = '']) => ({ kind: 'delete', namespace, key }),
  )
  add(
    'keys <namespace> [prefix]',
    { text: 'List keys, 1,000 at most.', example: 'keys /raft/cron job/' },
    ([namespace = '', prefix = '']) => ({ kind: 'keys', namespace, prefix }),
  )
  add(
    'transfer <namespace> <node>',
    { text: 'Hand the lead to another voter.', example: 'transfer /raft/cron 2' },
    ([namespace = '', to = '']) => ({ kind: 'transfer', namespace, to: readId(to) }),
  )
  add(
    'drop <namespace>',
    { text: 'Delete a namespace with everything in it.', example: 'drop /raft/cron' },
    named('drop'),
  )
}

function addCommand(
  raft: Command,
  given: {
    readonly parts: Parts
    readonly usage: string
    readonly text: string
    readonly example: string
    readonly read: Read
  },
): Command {
  const { parts, usage, text, example, read } = given
  const { defaultDataDir, finish, readId } = parts
  const command = raft
    .command(usage)
    .description(text)
    .option('--data-dir <dir>', 'the directory that `atoll up` uses', defaultDataDir)
    .option('--node <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExamples:\n  atoll raft ${example}\n  atoll raft ${example} --json\n`)
  return command.action(async () => {
    const { args } = command
    const flags = command.opts<Flags>()
    const { raftCommand } = await import('./raft-command.ts')
    const options = {
      dataDir: resolve(flags.dataDir),
      node: flags.node === undefined ? undefined : readId(flags.node),
      isJson: flags.json === true,
    }
    await finish(() => raftCommand(read(args, flags), options))
  })
}
