// `atoll admin upgrade ...`: what each command is called, takes and explains. The work is in upgrade-command.ts, which is
// loaded when one is chosen.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'
import { adminGroup } from './admin-group.ts'
import { parseCount } from './options.ts'
import type { UpgradeCommand } from './upgrade-command.ts'

type Flags = { readonly dataDir: string; readonly ask?: string; readonly json?: boolean }
type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
}
type Spec = {
  readonly usage: string
  readonly text: string
  readonly after: string
  readonly read: (word: string) => UpgradeCommand
}

export function addUpgradeCommands(program: Command, parts: Parts): void {
  const admin = adminGroup(program)
  const upgrade = admin
    .command('upgrade')
    .description('Upgrades of the program, node by node: whether now, and what follows.')
  for (const spec of [check, raise, policy]) add(upgrade, parts, spec)
}

const check: Spec = {
  usage: 'check',
  text: 'Say whether a node may be stopped and upgraded now; exit status 1 when not.',
  after: `
It asks for each node's version and feature level, and looks at what an upgrade needs: everybody online, a majority of
every group without any one node, no shard missing or on its way, certificates and disks that last. Then: what switches on
once all nodes run the new program.

Upgrade one node after the other, and ask before each:
  atoll admin upgrade check && atoll stop --data-dir DIR    # install, then: atoll start --data-dir DIR

Examples:
  atoll admin upgrade check
  atoll admin upgrade check --data-dir /srv/atoll --json`,
  read: () => ({ kind: 'check' }),
}

const raise: Spec = {
  usage: 'raise',
  text: 'Raise the feature level as far as every node supports it. It is never lowered.',
  after: '\nExamples:\n  atoll admin upgrade raise',
  read: () => ({ kind: 'raise' }),
}

const policy: Spec = {
  usage: 'policy <when>',
  text: 'Let the feature level rise by itself a minute after all nodes support it, or by command only.',
  after: `
WHEN is automatic or by-operator. Going back to the program before is possible until the level has risen.

Examples:
  atoll admin upgrade policy by-operator
  atoll admin upgrade policy automatic`,
  read: (when) => {
    if (when === 'automatic' || when === 'by-operator') return { kind: 'policy', when }
    throw new Fault('invalid', `'${when}': expected automatic or by-operator`)
  },
}

function add(parent: Command, { defaultDataDir, finish }: Parts, spec: Spec): void {
  parent
    .command(spec.usage)
    .description(spec.text)
    .option(
      '--data-dir <dir>',
      "a node's directory, or the one that `atoll up` uses",
      defaultDataDir,
    )
    .option('--ask <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON')
    .addHelpText('after', spec.after)
    .action(async (...given: readonly unknown[]) => {
      const word = typeof given[0] === 'string' ? given[0] : ''
      const flags = given.find((one) => typeof one === 'object') as Flags
      await finish(async () => {
        const { upgradeCommand } = await import('./upgrade-command.ts')
        const { ask } = flags
        return await upgradeCommand(spec.read(word), {
          dataDir: resolve(flags.dataDir),
          ask: ask === undefined ? undefined : parseCount('--ask', ask, [1, 999_999_999]),
          isJson: flags.json === true,
        })
      })
    })
}
