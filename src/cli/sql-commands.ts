// `atoll sql`: how it is called.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'

type Flags = {
  readonly dataDir: string
  readonly node?: string
  readonly json?: boolean
  readonly create?: boolean
  readonly drop?: boolean
}

export function addSqlCommand(
  program: Command,
  parts: {
    readonly defaultDataDir: string
    readonly finish: (run: () => Promise<number>) => Promise<void>
    readonly readId: (text: string) => number
  },
): void {
  program
    .command('sql [name] [statements]')
    .description('A shell for a replicated SQL database; without a name, the list of them.')
    .option('--create', 'make the database; asked again, it is there')
    .option('--drop', 'drop the database with everything in it')
    .option(
      '--data-dir <dir>',
      'the directory of a node, or that `atoll up` uses',
      parts.defaultDataDir,
    )
    .option('--node <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON, a line for each statement')
    .addHelpText(
      'after',
      `
From a pipe it runs what it is given and stops at the first error, which is its exit status. Lines that begin with a dot are
the shell's own: .help shows them. BEGIN to COMMIT is one transaction, in which nobody else writes: it ends by itself when
nothing is asked for five seconds.

Examples:
  atoll sql
  atoll sql shop --create
  atoll sql shop
  atoll sql shop "SELECT count(*) FROM sold"
  atoll sql shop < schema.sql
  atoll sql shop ".import rows.csv sold"
`,
    )
    .action(async (name: string | undefined, statements: string | undefined, flags: Flags) => {
      const { sqlCommand } = await import('./sql-shell.ts')
      await parts.finish(async () => {
        if (flags.create === true && flags.drop === true) {
          throw new Fault('invalid', '--create and --drop are opposites: give one')
        }
        const act = flags.create === true ? 'create' : flags.drop === true ? 'drop' : 'use'
        if (act !== 'use' && name === undefined) {
          throw new Fault('invalid', `which database: atoll sql NAME --${act}`)
        }
        return await sqlCommand({
          dataDir: resolve(flags.dataDir),
          node: flags.node === undefined ? undefined : parts.readId(flags.node),
          isJson: flags.json === true,
          name,
          statements,
          act,
        })
      })
    })
}
