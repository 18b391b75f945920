// `atoll admin ...`, `atoll start` and `atoll stop`: what each flag means. Every command loads its own code when it
// is chosen.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { adminGroup } from './admin-group.ts'
import { addTrustCommands } from './admin-trust-commands.ts'
import { joinStatusHelp } from './join-status.ts'
import { parseCount } from './options.ts'
import { defaultDataDir } from './paths.ts'

type RawFlags = Readonly<Record<string, string | boolean | undefined>>
type Finish = (run: () => Promise<number>) => Promise<void>

export function addAdminCommands(program: Command, finish: Finish): void {
  const admin = adminGroup(program)
  addInit(admin, finish)
  addJoin(admin, finish)
  addTokens(admin, finish)
  addNodes(admin, finish)
  addTrustCommands(admin, { finish, flags: askFlags })
}

/** Flags of every command that makes a machine a node. */
function machineFlags(command: Command): Command {
  return command
    .option('--region <name>', 'where the cluster is, for example ap-southeast-2')
    .option('--az <name>', 'availability zone of this machine')
    .option('--node <name>', 'what this machine is called')
    .option('--bind <address>', 'address or name under which the other machines reach this one')
    .option('--data-dir <dir>', "this node's own directory")
    .option('--hive-dir <dir>', 'another name of --data-dir')
    .option('--cap <list>', 'what it runs, for example control,s3,etcd (default: all there is)')
    .option('--label <list>', 'facts that rules of placement speak of: rack=r12,dc=fra-1')
    .option('--force', 'put what the directory holds into a folder inside it, and begin anew')
    .option('--port-offset <n>', 'move all ports by n')
    .option('--admin-port <port>', 'admin API (default 7777)')
    .option('--control-port <port>', 'between nodes, consensus and control (default 6660)')
    .option('--bulk-port <port>', 'between nodes, bulk bytes (default 9991)')
    .option('--s3-port <port>', 'S3 over HTTP, on loopback (default 9000)')
    .option('--s3-tls-port <port>', 'S3 over TLS (default 8443)')
    .option('--json', 'print lines of JSON, and nothing else, to standard output')
}

function addInit(admin: Command, finish: Finish): void {
  machineFlags(
    admin.command('init').description('Found a cluster on this machine; others join it.'),
  )
    .option(
      '--nodes <n>',
      'how many machines it is meant to have (default: as many as are listed, or 1)',
    )
    .option(
      '--storage-nodes <list>',
      'addresses of all storage nodes, in the order of their numbers',
    )
    .option('--predastore-nodes <list>', 'another name of --storage-nodes')
    .option('--rs <k+m>', 'data and parity shards per chunk (default 2+1 from three nodes on)')
    .option('--no-wait', 'end once the join command is printed, instead of when all have joined')
    .addHelpText(
      'after',
      `
The node goes on in the background (journal in DIR/node.log) and stops with \`atoll stop\`. The same command
again goes on where it was stopped.

Examples:
  atoll admin init --region eu --az a --node rpi1 --bind 10.11.12.1 --data-dir /srv/atoll
  atoll admin init --region eu --az a --node rpi1 --nodes 3 --bind 10.11.12.1 --data-dir /srv/atoll \\
    --storage-nodes 10.11.12.1,10.11.12.2,10.11.12.3 --rs 2+1
`,
    )
    .action(async (raw: RawFlags) => {
      await finish(async () => {
        const { readInit } = await import('./admin-flags.ts')
        const { init } = await import('./admin-init.ts')
        return await init(readInit(raw))
      })
    })
}

function addJoin(admin: Command, finish: Finish): void {
  machineFlags(
    admin
      .command('join')
      .description('Make this machine a member of a cluster that another founded.'),
  )
    .option('--host <host:port>', 'a member (default: searched for on the local network)')
    .option('--leader <url>', 'another name of --host: https://10.11.12.1:7777')
    .option('--token <token>', 'as `atoll admin init` and `atoll admin token create` print it')
    .option('--token-file <file>', 'a file that holds the token')
    .option('--cluster <id>', 'without a token: wait until an operator of this cluster approves')
    .option('--pin <digits>', "without a token: the pin of the cluster's authority, if it is known")
    .option('--no-wait', 'end at once when an operator has to decide')
    .addHelpText(
      'after',
      `
The node goes on in the background (journal in DIR/node.log). The same command again goes on where it was
stopped and uses up no token.

${joinStatusHelp()}
Examples:
  atoll admin join --region eu --az a --node rpi2 --host 10.11.12.1:7777 --bind 10.11.12.2 \\
    --data-dir /srv/atoll --token at1.XXXXXX...
  atoll admin join --region eu --az a --node rpi3 --bind 10.11.12.3 --data-dir /srv/atoll --cluster c-82d5
`,
    )
    .action(async (raw: RawFlags) => {
      await finish(async () => {
        const { readJoin } = await import('./admin-flags.ts')
        const { join } = await import('./admin-join.ts')
        return await join(readJoin(raw))
      })
    })
}

/** Flags of every command that asks the node of a directory. */
function askFlags(command: Command): Command {
  return command
    .option(
      '--data-dir <dir>',
      'the directory of a node here, or the one that `atoll up` uses',
      defaultDataDir,
    )
    .option('--json', 'print JSON')
}

function readAsk(raw: RawFlags) {
  return { dataDir: resolve(String(raw.dataDir)), isJson: raw.json === true }
}

function addTokens(admin: Command, finish: Finish): void {
  const token = admin.command('token').description('Tokens with which machines join.')
  askFlags(token.command('create').description('Make a token and print it; it is not shown again.'))
    .option('--uses <n>', 'how many machines it admits (default 1)')
    .option('--minutes <n>', 'how long it is good (default 60; at most 1440)')
    .option('--name <node>', 'only for a machine of this name')
    .option('--from <prefix>', 'only for addresses within, for example 10.11.12.0/24')
    .option('--approve', 'machines wait for `atoll admin approve` all the same')
    .option('--replaces <id>', 'the machine takes the place of this member, which is removed')
    .option(
      '--pairing',
      'four words instead, for the setup page of `atoll start`; 10 minutes, one machine',
    )
    .addHelpText(
      'after',
      `
Examples:
  atoll admin token create --data-dir /srv/atoll
  atoll admin token create --uses 2 --minutes 30 --from 10.11.12.0/24 --json
  atoll admin token create --pairing
`,
    )
    .action(async (raw: RawFlags) => {
      const tokens = await import('./admin-tokens.ts')
      if (raw.pairing === true) await finish(() => tokens.createPairing(readAsk(raw)))
      else await finish(() => tokens.createToken({ ...readAsk(raw), flags: readTokenFlags(raw) }))
    })
  askFlags(token.command('list').description('Tokens there are and were, without their secrets.'))
    .addHelpText('after', '\nExamples:\n  atoll admin token list --data-dir /srv/atoll --json\n')
    .action(async (raw: RawFlags) => {
      const { listTokens } = await import('./admin-tokens.ts')
      await finish(() => listTokens(readAsk(raw)))
    })
  askFlags(token.command('revoke <id>').description('End a token; who joined with it stays.'))
    .addHelpText('after', '\nExamples:\n  atoll admin token revoke 7K2M9Q --data-dir /srv/atoll\n')
    .action(async (id: string, raw: RawFlags) => {
      const { revokeToken } = await import('./admin-tokens.ts')
      await finish(() => revokeToken({ ...readAsk(raw), id }))
    })
}

function readTokenFlags(raw: RawFlags): import('./admin-tokens.ts').TokenFlags {
  const text = (name: string): string | undefined => {
    const value = raw[name]
    return typeof value === 'string' ? value : undefined
  }
  const count = (name: string, most: number): number | undefined => {
    const value = text(name)
    return value === undefined ? undefined : parseCount(`--${name}`, value, [1, most])
  }
  const minutes = count('minutes', 1440)
  return {
    uses: count('uses', 1024),
    lifetimeSeconds: minutes === undefined ? undefined : 60 * minutes,
    name: text('name'),
    addressPrefix: text('from'),
    approval: raw.approve === true ? 'operator' : undefined,
    replaces: count('replaces', 999_999_999),
  }
}

function addNodes(admin: Command, finish: Finish): void {
  askFlags(
    admin.command('nodes').description('Members with state, address, capabilities and labels.'),
  )
    .addHelpText('after', '\nExamples:\n  atoll admin nodes --data-dir /srv/atoll\n')
    .action(async (raw: RawFlags) => {
      const { listNodes } = await import('./admin-tokens.ts')
      await finish(() => listNodes(readAsk(raw)))
    })
  askFlags(admin.command('services').description('What runs where, and how it is set.'))
    .addHelpText(
      'after',
      `
A node that does not say is shown with a question mark. Change what a node runs with \`atoll admin caps\`, and how with
\`atoll admin config set\`.

Examples:
  atoll admin services --data-dir /srv/atoll
  atoll admin config set s3.api_bind :9443
  atoll admin config set etcd.api_bind :2379
`,
    )
    .action(async (raw: RawFlags) => {
      const { listServices } = await import('./services.ts')
      await finish(() => listServices(readAsk(raw)))
    })
  for (const verdict of ['approve', 'reject'] as const) {
    const what =
      verdict === 'approve' ? 'Let a machine in that waits.' : 'Turn away a machine that waits.'
    askFlags(admin.command(`${verdict} <node>`).description(what))
      .addHelpText(
        'after',
        `\nNODE is its name, or its key as the machine shows it.\n\nExamples:\n  atoll admin ${verdict} rpi3 --data-dir /srv/atoll\n`,
      )
      .action(async (node: string, raw: RawFlags) => {
        const { decide } = await import('./admin-tokens.ts')
        await finish(() => decide({ ...readAsk(raw), node, verdict }))
      })
  }
}

export function addStop(program: Command, finish: Finish): void {
  program
    .command('stop')
    .description('Stop the node of a directory that runs in the background, and wait for its end.')
    .requiredOption('--data-dir <dir>', "the node's own directory")
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  atoll stop --data-dir /srv/atoll\n')
    .action(async (raw: RawFlags) => {
      const { stop } = await import('./stop.ts')
      await finish(() => stop(readAsk(raw)))
    })
}
