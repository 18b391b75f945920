// One command about rights or operators, as data: what it is called, takes and shows. All find their node alike, print
// JSON alike, and have examples.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AccessCall, AccessCommandOptions, Answer } from './access-command.ts'

export type Flags = Readonly<Record<string, string | boolean | undefined>>

export type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
  readonly readId: (text: string) => number
}

export type Option = readonly [flag: string, about: string]

export type Spec = {
  readonly usage: string
  readonly about: string
  readonly example: string
  /** Flags beyond those that all have. */
  readonly options?: readonly Option[]
  readonly read: (args: readonly string[], flags: Flags) => AccessCall
  readonly show: (answer: Answer) => string
  /** Of a command that does more than to ask and to show; answers the exit status. */
  readonly run?: (
    args: readonly string[],
    flags: Flags,
    where: Omit<AccessCommandOptions, 'show'>,
  ) => Promise<number>
}

/** `place`: the words between `atoll` and the command. `shared`: flags of every command there. */
export function addSpec(
  parent: Command,
  spec: Spec,
  given: { readonly parts: Parts; readonly place: string; readonly shared?: readonly Option[] },
): void {
  const { defaultDataDir, finish, readId } = given.parts
  const command = parent.command(spec.usage).description(spec.about)
  const options = [...(spec.options ?? []), ...(given.shared ?? [])]
  for (const [flag, about] of options) command.option(flag, about)
  const example = `atoll ${given.place} ${spec.example}`
  command
    .option('--data-dir <dir>', 'the directory of a node, or the one of `atoll up`', defaultDataDir)
    .option('--node <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExamples:\n  ${example}\n  ${example} --data-dir /srv/atoll --json\n`)
    .action(async () => {
      await finish(async () => {
        const flags = command.opts<Flags>()
        const where = {
          dataDir: resolve(String(flags.dataDir)),
          node: typeof flags.node === 'string' ? readId(flags.node) : undefined,
          isJson: flags.json === true,
        }
        if (spec.run !== undefined) return await spec.run(command.args, flags, where)
        const { accessCommand } = await import('./access-command.ts')
        return accessCommand(spec.read(command.args, flags), { ...where, show: spec.show })
      })
    })
}
