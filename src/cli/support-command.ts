// `atoll support ...`: what helps somebody else to help.

import { resolve } from 'node:path'
import type { Command } from 'commander'

type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
}
type Flags = { readonly dataDir: string; readonly out?: string; readonly json?: boolean }

export function addSupportCommands(program: Command, { defaultDataDir, finish }: Parts): void {
  const support = program.command('support').description('What helps somebody else to help.')
  support
    .command('bundle')
    .description('Collect status, settings and journals in one archive, without secrets.')
    .option('--data-dir <dir>', 'the directory of a cluster or of a node', defaultDataDir)
    .option('--out <file>', 'default: atoll-support-TIME.tar.gz here')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Keys, tokens, credentials and passwords of the directory are taken out of every text. Names of buckets and
addresses stay in. The nodes may run or not.

Examples:
  atoll support bundle
  atoll support bundle --data-dir /var/lib/atoll --out /tmp/for-support.tar.gz
`,
    )
    .action(async ({ dataDir, out, json }: Flags) => {
      const { bundle } = await import('./support-bundle.ts')
      await finish(() =>
        bundle({
          dataDir: resolve(dataDir),
          out: out === undefined ? undefined : resolve(out),
          isJson: json === true,
        }),
      )
    })
}
