// `atoll admin label|placement|events`: what each command is called, takes and explains. The work is in
// registry-command.ts, which is loaded when one is chosen.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'
import { adminGroup } from './admin-group.ts'
import { parseCode, parseCount } from './options.ts'
import type { RegistryCommand, RuleChange } from './registry-command.ts'

type Flags = {
  readonly dataDir: string
  readonly ask?: string
  readonly json?: boolean
  readonly rs?: string
  readonly factor?: string
  readonly distinct?: readonly string[]
  readonly weights?: string
  readonly repairAfter?: string
  readonly limit?: string
}

type Parts = {
  readonly defaultDataDir: string
  readonly finish: (run: () => Promise<number>) => Promise<void>
  readonly readId: (text: string) => number
}

type Spec = {
  readonly usage: string
  readonly text: string
  readonly after: string
  readonly read: (args: readonly string[], flags: Flags) => RegistryCommand
}

/** Adds to `atoll admin`, which is made when nobody has. */
export function addRegistryCommands(program: Command, parts: Parts): void {
  const admin = adminGroup(program)
  add(admin, parts, label)
  add(admin, parts, caps)
  add(admin, parts, events).option('--limit <n>', 'the newest n (default 50)')
  const placement = admin
    .command('placement')
    .description('Where shards go: the rule, why a node holds an object, what repair would do.')
  add(placement, parts, explain)
  add(placement, parts, plan)
  add(placement, parts, audit)
  const rule = placement.command('rule').description('The rule that placement keeps to.')
  add(rule, parts, ruleGet)
  add(rule, parts, ruleSet)
    .option('--rs <k+m>', 'data and parity shards of chunks written from now on')
    .option('--factor <n>', 'n whole copies: the same as --rs 1+(n-1)')
    .option(
      '--distinct <label=n...>',
      "at least n values of a label per chunk; 'none' for no such rule",
    )
    .option('--weights <how>', "'capacity': twice the bytes, twice the shards; or 'equal'")
    .option('--repair-after <time>', 'shards of an offline node are made again then: 90s, 10m, 2h')
}

const label: Spec = {
  usage: 'label <node> <label...>',
  text: 'Say facts of a node that rules of placement speak of: rack=r12 sets, rack= takes away.',
  after: `
Examples:
  atoll admin label 2 dc=fra-1 rack=r12
  atoll admin label node-2 rack= --json`,
  read: ([node = '', ...labels]) => ({ kind: 'label', node, labels: readLabels(labels) }),
}

const caps: Spec = {
  usage: 'caps <node> <list>',
  text: 'Say what a node runs, from now on: its services start and end without a restart.',
  after: `
LIST is capabilities with commas between them, or all: s3 serves objects, etcd serves etcd's API, control keeps the
authority (it can be given and not taken). Others are kept for services to come.

Examples:
  atoll admin caps 3 control,s3
  atoll admin caps node-3 all --json`,
  read: ([node = '', list = '']) => ({
    kind: 'caps',
    node,
    caps: list === 'all' ? [] : list.split(',').map((cap) => cap.trim()),
  }),
}

const explain: Spec = {
  usage: 'explain <key>',
  text: 'Say for each node why it holds an object (bucket/key), a chunk (its id) or a name, or why not.',
  after: `
Examples:
  atoll admin placement explain photos/2026/a.jpg
  atoll admin placement explain photos/2026/a.jpg --json`,
  read: ([key = '']) => ({ kind: 'explain', key }),
}

const plan: Spec = {
  usage: 'plan',
  text: 'List chunks that lack lasting holders, and who is to make their shards again.',
  after: '\nExamples:\n  atoll admin placement plan\n  atoll admin placement plan --json',
  read: () => ({ kind: 'plan' }),
}

const audit: Spec = {
  usage: 'audit',
  text: 'Look for missing shards now, and make again what falls to the asked node.',
  after: '\nExamples:\n  atoll admin placement audit\n  atoll admin placement audit --ask 2 --json',
  read: () => ({ kind: 'audit' }),
}

const events: Spec = {
  usage: 'events',
  text: 'Show what happened to the cluster: nodes that fell silent and came back, changes of the rule.',
  after: '\nExamples:\n  atoll admin events\n  atoll admin events --limit 10 --json',
  read: (_, { limit }) => ({
    kind: 'events',
    limit: limit === undefined ? 50 : parseCount('--limit', limit, [1, 1_000]),
  }),
}

const ruleGet: Spec = {
  usage: 'get',
  text: 'Show the rule, and labels of which there are too few values.',
  after: '\nExamples:\n  atoll admin placement rule get\n  atoll admin placement rule get --json',
  read: () => ({ kind: 'rule' }),
}

const ruleSet: Spec = {
  usage: 'set',
  text: 'Change the rule, for chunks written from now on; what is not given stays.',
  after: `
Examples:
  atoll admin placement rule set --rs 4+2 --distinct rack=3 dc=2
  atoll admin placement rule set --factor 3 --weights equal --repair-after 30m`,
  read: (_, flags) => ({ kind: 'change-rule', change: readRule(flags) }),
}

function add(parent: Command, parts: Parts, spec: Spec): Command {
  const { defaultDataDir, finish, readId } = parts
  const command = parent
    .command(spec.usage)
    .description(spec.text)
    .option('--data-dir <dir>', "the directory of `atoll up`, or a node's own", defaultDataDir)
    .option('--ask <id>', 'ask this node (default: the first that answers)')
    .option('--json', 'print JSON')
    .addHelpText('after', `${spec.after}\n`)
  return command.action(async () => {
    const { args } = command
    const flags = command.opts<Flags>()
    await finish(async () => {
      const asked = spec.read(args, flags)
      const { registryCommand } = await import('./registry-command.ts')
      return await registryCommand(asked, {
        dataDir: resolve(flags.dataDir),
        node: flags.ask === undefined ? undefined : readId(flags.ask),
        isJson: flags.json === true,
      })
    })
  })
}

function readLabels(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(given.map((text) => readPair(text, 'rack=r12')))
}

function readPair(text: string, example: string): [string, string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new Fault('invalid', `'${text}' is no label: expected for example ${example}`)
}

function readRule({ rs, factor, distinct, weights, repairAfter }: Flags): RuleChange {
  if (rs !== undefined && factor !== undefined) {
    throw new Fault('invalid', 'give --rs or --factor, not both')
  }
  if (weights !== undefined && weights !== 'capacity' && weights !== 'equal') {
    throw new Fault('invalid', "--weights is 'capacity' or 'equal'")
  }
  const code = rs === undefined ? undefined : parseCode(rs)
  const copies = factor === undefined ? undefined : parseCount('--factor', factor, [1, 32])
  return {
    ...(code === undefined ? {} : { data_shards: code.data, parity_shards: code.parity }),
    ...(copies === undefined ? {} : { data_shards: 1, parity_shards: copies - 1 }),
    ...(distinct === undefined ? {} : { min_distinct: readDistinct(distinct) }),
    ...(weights === undefined ? {} : { weights }),
    ...(repairAfter === undefined ? {} : { repair_after_ms: readTime(repairAfter) }),
  }
}

function readDistinct(given: readonly string[]): Readonly<Record<string, number>> {
  if (given.length === 1 && given[0] === 'none') return {}
  return Object.fromEntries(
    given.map((text): [string, number] => {
      const [name, count] = readPair(text, 'rack=3')
      return [name, parseCount('--distinct', count, [1, 32])]
    }),
  )
}

const unitsMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

function readTime(text: string): number {
  const [, count = '', unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? []
  const ms = Number(count) * (unitsMs[unit] ?? Number.NaN)
  if (count !== '' && Number.isSafeInteger(ms)) return ms
  throw new Fault('invalid', `'${text}' is no time: expected for example 90s, 10m or 2h`)
}
