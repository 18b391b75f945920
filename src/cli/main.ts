// The `atoll` command: what there is, what each flag means, and how it ends. Every command loads its own
// code when it is chosen, so that starting a node costs no more than the node.

import { resolve } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import { Fault } from '../base/index.ts'
import { addAdminCommands, addStop } from './admin-commands.ts'
import { finish } from './finish.ts'
import {
  type Flags,
  readDataThreads,
  readEtcd,
  readSql,
  readLeaseOf,
  readNode,
  readPath,
} from './node-flags.ts'
import { defaultDataDir } from './paths.ts'
import { parseChoice, parseCode, parseCount, parsePorts } from './options.ts'
import { addGroupExamples, tellUsage } from './usage.ts'
import { addLeavingCommands } from './leaving-commands.ts'
import { addAccessCommands } from './access-commands.ts'
import { addOperatorCommands } from './operator-commands.ts'
import { addNamespaceCommands } from './raft-commands.ts'
import { addUnitCommands } from './systemd-commands.ts'
import { addSupportCommands } from './support-command.ts'
import { addRegistryCommands } from './registry-commands.ts'
import { addSqlCommand } from './sql-commands.ts'
import { reportFailure } from './terminal.ts'
import { addUpgradeCommands } from './upgrade-commands.ts'

const usageStatus = 64
const keyHelp =
  'between nodes, use the key in this file (32 bytes or more, on all nodes the same) instead of certificates'

const progressHelp =
  "how often etcd's quiet watches that ask for it are told the revision (default 600)"
const readLeaseHelp =
  'the leader answers reads under a lease: clocks are wrong by this ratio at most (0.02: 2 %), on all nodes the same'

const program = new Command('atoll')
  .description('A few ordinary machines become one cloud.')
  .exitOverride()
  .configureOutput({ outputError: tellUsage })
  .configureHelp({ sortSubcommands: false })
  .addHelpText(
    'after',
    '\nExamples:\n  atoll up\n  atoll status\n  atoll up --help\n  atoll admin init --help\n',
  )

program
  .command('up')
  .description('Start the cluster on this machine (forms it at first) and stay in the foreground.')
  .option('--nodes <n>', 'how many nodes to form the cluster with (default 3)')
  .option('--rs <k+m>', 'data and parity shards per chunk (default 2+1; 1+0 for one node)')
  .option('--data-dir <dir>', 'where everything is kept', defaultDataDir)
  .option('--node <id>', 'start this one node only')
  .option('--add-nodes <n>', 'take n new nodes into the cluster and start them')
  .option(
    '--json',
    'print one line of JSON when all is ready, and nothing else, to standard output',
  )
  .option('--log <format>', "'json': the nodes' journals go to standard error (default: node.log)")
  .option('--data-threads <n>', '0: everything on one thread; 1: bytes on a thread of their own')
  .option('--s3-port <port>', 'S3 over HTTP (default 9000)')
  .option('--s3-tls-port <port>', 'S3 over TLS (default 8443)')
  .option('--admin-port <port>', 'admin API (default 7777)')
  .option('--control-port <port>', 'between nodes, consensus and control (default 6660)')
  .option('--bulk-port <port>', 'between nodes, bulk bytes (default 9991)')
  .option('--etcd', "serve etcd's API on port 2379 (moved as the others), to whoever reaches it")
  .option('--etcd-port <port>', "etcd's API (default 2379), of the first node; serves it")
  .option('--etcd-tls', "etcd's API over TLS, with certificates of the cluster's authority")
  .option('--etcd-client-ca <file>', 'over TLS, to clients with a certificate of this authority')
  .option('--etcd-watch-progress <seconds>', progressHelp)
  .option(
    '--sql',
    "serve rqlite's HTTP API on port 4001 (moved as the others), by user and password",
  )
  .option('--sql-port <port>', "rqlite's HTTP API (default 4001), of the first node; serves it")
  .option('--sql-tls', "rqlite's HTTP API over TLS, with certificates of the cluster's authority")
  .option('--port-offset <n>', 'move all ports by n when the cluster is formed')
  .option('--encryption-key-file <file>', keyHelp)
  .option('--snapshot-dir <dir>', 'where snapshots of groups are kept (default: beside the log)')
  .option('--read-lease <ratio>', readLeaseHelp)
  .option('--watch', 'restart the nodes when sources change')
  .addHelpText(
    'after',
    `
A node that dies is reported and not started again. Running \`atoll up\` once more in the same
directory, also while the others run, starts the nodes that are missing. A node whose directory was
deleted comes back under a new id as the replacement of the old one and is rebuilt by the others.
Put your own cluster.toml into the directory before the first start to use it instead of the flags.

Examples:
  atoll up
  atoll up --nodes 5 --rs 3+2 --data-dir /srv/atoll
  atoll up --node 2
  atoll up --add-nodes 2
  atoll up --json --port-offset 10000 --data-dir /tmp/second
`,
  )
  .action(async (flags: Record<string, string | boolean | undefined>) => {
    const { up } = await import('./up.ts')
    await finish(() => up(readUp(flags)))
  })

program
  .command('status')
  .description('Show nodes, groups, capacity, objects and missing redundancy.')
  .option('--data-dir <dir>', 'the directory that `atoll up` uses', defaultDataDir)
  .option('--node <id>', 'ask this node (default: the first that answers)')
  .option('--json', 'print JSON')
  .addHelpText('after', '\nExamples:\n  atoll status\n  atoll status --node 2 --json\n')
  .action(async (flags: StatusFlags) => {
    const { status } = await import('./status.ts')
    await finish(() => status(readStatus(flags)))
  })

program
  .command('scrub')
  .description('Read and verify every shard now; damaged ones are made again from the others.')
  .option('--data-dir <dir>', 'the directory that `atoll up` uses', defaultDataDir)
  .option('--node <id>', 'only this node (default: all, one after the other)')
  .option('--json', 'print JSON')
  .addHelpText('after', '\nExamples:\n  atoll scrub\n  atoll scrub --node 2 --json\n')
  .action(async (flags: StatusFlags) => {
    const { scrub } = await import('./scrub.ts')
    await finish(() => scrub(readStatus(flags)))
  })

program
  .command('start')
  .description('Run the node of a directory; one that is no node yet waits to be paired.')
  .requiredOption('--data-dir <dir>', "the node's own directory")
  .option(
    '--bind <address>',
    'address under which other machines reach this one, for the setup page',
  )
  .option(
    '--bootstrap <file>',
    'join by this file, without a person (default: bootstrap.json in DIR)',
  )
  .option('--port-offset <n>', 'move all ports by n when the directory becomes a node')
  .addOption(new Option('--await <pid>').hideHelp())
  .option('--data-threads <n>', '0: everything on one thread; 1: bytes on a thread of their own')
  .option('--log <format>', "to standard error: 'text', 'json' or 'journal' (systemd's)", 'text')
  .option('--level <level>', 'debug, notice, warning or error', 'notice')
  .option('--json', 'print lines of JSON to standard output: unpaired, paired, serving, stopped')
  .addHelpText(
    'after',
    `
A directory that is no node's yet serves a setup page on port 7777 of loopback (and of --bind), where a person
types the address of a member and a token or the four words of \`atoll admin token create --pairing\`.

A bootstrap file is JSON, readable by its owner only, and is destroyed once it has served:
  {"controllers": ["https://10.11.12.1:7777"], "token": "at1...", "name": "rpi3", "bind": "10.11.12.3",
   "region": "eu", "zone": "a", "labels": {"rack": "r12"}, "caps": ["ebs"]}
Instead of "token": "tokenFile", or "cluster" to wait for an operator's approval.

Examples:
  atoll start --data-dir /srv/atoll
  atoll start --data-dir /srv/atoll --json
  atoll start --data-dir /srv/atoll --bootstrap /etc/atoll/bootstrap.json --log json
`,
  )
  .action(async (flags: Flags) => {
    const { start } = await import('./start.ts')
    const offset = typeof flags.portOffset === 'string' ? flags.portOffset : '0'
    await finish(() =>
      start({
        ...readNode(flags),
        bootstrap: readPath(typeof flags.bootstrap === 'string' ? flags.bootstrap : undefined),
        portOffset: parseCount('--port-offset', offset, [0, 50_000]),
        awaited: typeof flags.await === 'string' ? Number(flags.await) : undefined,
      }),
    )
  })

addStop(program, finish)
addAdminCommands(program, finish)

program
  .command('node')
  .description('Run one node in this process (what `atoll up` starts per node).')
  .requiredOption('--data-dir <dir>', "the node's own directory")
  .option('--bind <address>', 'find this node in cluster.toml by its address')
  .option('--data-threads <n>', '0: everything on one thread; 1: bytes on a thread of their own')
  .option('--etcd-port <port>', "serve etcd's API on this port (all nodes of a cluster, or none)")
  .option('--etcd-tls', "etcd's API over TLS, with a certificate of the cluster's authority")
  .option('--etcd-client-ca <file>', 'over TLS, to clients with a certificate of this authority')
  .option('--etcd-watch-progress <seconds>', progressHelp)
  .option('--sql-port <port>', "serve rqlite's HTTP API on this port, by user and password")
  .option('--sql-tls', "rqlite's HTTP API over TLS, with a certificate of the cluster's authority")
  .option('--encryption-key-file <file>', keyHelp)
  .option('--snapshot-dir <dir>', 'where snapshots of groups are kept (default: beside the log)')
  .option('--read-lease <ratio>', readLeaseHelp)
  .option('--log <format>', "to standard error: 'text', 'json' or 'journal' (systemd's)", 'text')
  .option('--level <level>', 'debug, notice, warning or error', 'notice')
  .option('--json', 'print lines of JSON to standard output: serving, stopped')
  .addHelpText(
    'after',
    `
ATOLL_NODE_ID (or HIVE_PREDASTORE_NODE_ID) overrides the id in node.toml. ATOLL_ENCRYPTION_KEY can hold
the key itself in place of --encryption-key-file.

Examples:
  atoll node --data-dir .atoll/node-1
  ATOLL_NODE_ID=2 atoll node --data-dir /srv/atoll --log json --json
`,
  )
  .action(async (flags: Flags) => {
    const { runNode } = await import('./node-command.ts')
    await finish(() => runNode(readNode(flags)))
  })

const raft = program
  .command('raft')
  .description('Namespaces, each a consensus group of its own; and the repair of groups on disk.')

raft
  .command('recover')
  .description(
    'After a majority was lost for good: make one stopped node the only voter of its groups.',
  )
  .requiredOption('--data-dir <dir>', "the surviving node's own directory")
  .option('--namespace <name>', 'recover this namespace, for example /raft/system')
  .option('--group <id>', 'recover the group with this number')
  .option('--all', 'recover every group that this node holds')
  .option('--yes', 'do not ask')
  .option('--json', 'print what was done as one line of JSON')
  .addHelpText(
    'after',
    `
Choose the survivor whose log reaches furthest. Every write that is not in its log is lost. Members that
are given up must stay stopped; when one comes back it is refused as stale, stops taking part, and says
that it must be wiped and join again under a new identity. Recover on one node only.

Examples:
  atoll raft recover --data-dir .atoll/node-1 --all
  atoll raft recover --data-dir /srv/atoll --namespace /raft/system
  atoll raft recover --data-dir /srv/atoll --group 3 --yes --json
`,
  )
  .action(async (flags: RecoverFlags) => {
    const { recover } = await import('./raft-recover.ts')
    await finish(() => recover(readRecover(flags)))
  })

raft
  .command('snapshots')
  .description('List the snapshot files that a node keeps of its groups; it may run meanwhile.')
  .requiredOption('--data-dir <dir>', "the node's own directory")
  .option('--snapshot-dir <dir>', 'as given to `atoll node`')
  .option('--json', 'print JSON')
  .addHelpText(
    'after',
    `
Every group keeps its latest three files: one is taken when 10,000 entries were applied since the last one,
at most once an hour, and after a day when anything was.

Examples:
  atoll raft snapshots --data-dir .atoll/node-1
  atoll raft snapshots --data-dir /srv/atoll --snapshot-dir /backup/atoll --json
`,
  )
  .action(async (flags: SnapshotFlags) => {
    const { listSnapshots } = await import('./raft-snapshots.ts')
    await finish(() => listSnapshots(readSnapshots(flags)))
  })

raft
  .command('restore')
  .description(
    'When all members of a group are lost: make a snapshot file its state, on one stopped node.',
  )
  .requiredOption('--data-dir <dir>', "the node's own directory")
  .requiredOption('--file <file>', 'a file that `atoll raft snapshots` lists')
  .option('--snapshot-dir <dir>', 'as given to `atoll node`')
  .option('--json', 'print JSON')
  .addHelpText(
    'after',
    `
The file is installed at the node's next start, if the node has no state of the group. Everything after the
file's entry is lost. The node becomes the only voter of a new generation of the group.

Examples:
  atoll raft restore --data-dir .atoll/node-1 --file /backup/0000000000000042-0000000000000003.snapshot
`,
  )
  .action(async (flags: SnapshotFlags & { readonly file: string }) => {
    const { restoreSnapshot } = await import('./raft-snapshots.ts')
    await finish(() => restoreSnapshot(flags.file, readSnapshots(flags)))
  })

type SnapshotFlags = {
  readonly dataDir: string
  readonly snapshotDir?: string
  readonly json?: boolean
}

function readSnapshots({ dataDir, snapshotDir, json }: SnapshotFlags) {
  return {
    dataDir: resolve(dataDir),
    snapshotDir: snapshotDir === undefined ? undefined : resolve(snapshotDir),
    isJson: json === true,
  }
}

addNamespaceCommands(raft, { defaultDataDir, finish, readId })
addSqlCommand(program, { defaultDataDir, finish, readId })
addUnitCommands(program, finish)
addSupportCommands(program, { defaultDataDir, finish })
addLeavingCommands(program, { defaultDataDir, finish })
addRegistryCommands(program, { defaultDataDir, finish, readId })
addUpgradeCommands(program, { defaultDataDir, finish })

addAccessCommands(program, { defaultDataDir, finish, readId })
addOperatorCommands(program, { defaultDataDir, finish, readId })

type RecoverFlags = {
  readonly dataDir: string
  readonly namespace?: string
  readonly group?: string
  readonly all?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

function readRecover(
  flags: RecoverFlags,
): Parameters<typeof import('./raft-recover.ts').recover>[0] {
  const { namespace, group, all } = flags
  const given = [namespace, group, all].filter((flag) => flag !== undefined)
  if (given.length !== 1) {
    throw new Fault('invalid', 'exactly one of --namespace, --group and --all is needed')
  }
  const which =
    namespace !== undefined
      ? ({ kind: 'namespace', name: namespace } as const)
      : group !== undefined
        ? ({ kind: 'group', id: parseCount('--group', group, [1, 999_999_999]) } as const)
        : ({ kind: 'all' } as const)
  const dataDir = resolve(flags.dataDir)
  return { dataDir, which, isConfirmed: flags.yes === true, isJson: flags.json === true }
}

type StatusFlags = { readonly dataDir: string; readonly node?: string; readonly json?: boolean }

function readStatus(flags: StatusFlags) {
  return {
    dataDir: resolve(flags.dataDir),
    node: flags.node === undefined ? undefined : readId(flags.node),
    isJson: flags.json === true,
  }
}

function readUp(flags: Flags): Parameters<typeof import('./up.ts').up>[0] {
  const text = (name: string): string | undefined => {
    const value = flags[name]
    return typeof value === 'string' ? value : undefined
  }
  const nodes = text('nodes')
  const rs = text('rs')
  const node = text('node')
  const addNodes = text('addNodes')
  const log = text('log')
  return {
    dataDir: resolve(text('dataDir') ?? defaultDataDir),
    nodes: nodes === undefined ? undefined : parseCount('--nodes', nodes, [1, 32]),
    rs: rs === undefined ? undefined : parseCode(rs),
    addNodes: addNodes === undefined ? 0 : parseCount('--add-nodes', addNodes, [1, 32]),
    node: node === undefined ? undefined : readId(node),
    ports: parsePorts(flags as Record<string, string>),
    dataThreads: readDataThreads(text('dataThreads')),
    etcd: readUpEtcd(flags),
    sql: readUpSql(flags),
    encryptionKeyFile: readPath(text('encryptionKeyFile')),
    snapshotDir: readPath(text('snapshotDir')),
    readLease: readLeaseOf(text('readLease')),
    isJson: flags.json === true,
    log: log === undefined ? 'file' : parseChoice('--log', log, ['json']),
    watches: flags.watch === true,
  }
}

function readUpEtcd(flags: Flags) {
  const { port, ...how } = readEtcd(flags)
  const isServed = flags.etcd === true || port !== undefined || how.isTls
  return isServed || how.clientAuthority !== undefined ? { port, ...how } : undefined
}

function readUpSql(flags: Flags) {
  const { port, isTls } = readSql(flags)
  return flags.sql === true || port !== undefined || isTls ? { port, isTls } : undefined
}

function readId(text: string): number {
  return parseCount('--node', text, [1, 999_999_999])
}

addGroupExamples(program, 'atoll')
try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) process.exit(reportFailure(error))
  process.exit(error.exitCode === 0 ? 0 : usageStatus)
}
