// `atoll admin upgrade check|raise|policy`: asks a node, and words the answer.

import * as v from 'valibot'
import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { duration, table } from './status-text.ts'
import { answer } from './terminal.ts'

export type UpgradeCommand =
  | { readonly kind: 'check' | 'raise' }
  | { readonly kind: 'policy'; readonly when: 'automatic' | 'by-operator' }

export type UpgradeOptions = {
  readonly dataDir: string
  readonly ask: number | undefined
  readonly isJson: boolean
}

const askMs = 15_000
const notSafe = 1

const checkSchema = v.object({
  isSafe: v.boolean(),
  level: v.object({
    active: v.number(),
    newest: v.number(),
    isByOperator: v.boolean(),
    to: v.number(),
    blockers: v.array(v.string()),
    features: v.array(v.object({ name: v.string(), level: v.number(), what: v.string() })),
  }),
  nodes: v.array(
    v.object({
      id: v.number(),
      name: v.string(),
      state: v.string(),
      version: v.string(),
      level: v.number(),
      certificateNotAfterMs: v.number(),
      freeBytes: v.number(),
      totalBytes: v.number(),
    }),
  ),
  checks: v.array(v.object({ name: v.string(), isSafe: v.boolean(), text: v.string() })),
})
const levelSchema = v.object({ level: v.number(), raise: v.string(), raisedMs: v.number() })
export type CheckAnswer = v.InferOutput<typeof checkSchema>

/** Settles with the exit status: of a check, 1 when an upgrade is not safe now. */
export async function upgradeCommand(
  command: UpgradeCommand,
  options: UpgradeOptions,
): Promise<number> {
  const given = await ask(command, options)
  if (command.kind === 'check') {
    const checked = v.parse(checkSchema, given)
    answer(options.isJson ? JSON.stringify(checked) : checkText(checked, Date.now()))
    return checked.isSafe ? 0 : notSafe
  }
  const level = v.parse(levelSchema, given)
  const how = level.raise === 'automatic' ? 'rises by itself' : 'rises by command'
  answer(options.isJson ? JSON.stringify(level) : `feature level ${level.level}, which ${how}`)
  return 0
}

async function ask(command: UpgradeCommand, { dataDir, ask: id }: UpgradeOptions) {
  const call = { ...callOf(command), timeoutMs: askMs }
  return await askFirst(findNodes(dataDir, id), ({ endpoint }) => askAdmin(endpoint, call))
}

function callOf(command: UpgradeCommand) {
  switch (command.kind) {
    case 'check':
      return { method: 'GET', path: '/v1/upgrade' } as const
    case 'raise':
      return { method: 'POST', path: '/v1/upgrade/level', body: {} } as const
    case 'policy':
      return { method: 'PUT', path: '/v1/upgrade/policy', body: { raise: command.when } } as const
  }
}

export function checkText({ isSafe, level, nodes, checks }: CheckAnswer, nowMs: number): string {
  const rows = nodes.map(({ id, name, state, version, level: newest, certificateNotAfterMs }) => [
    String(id),
    name,
    state,
    version === '' ? '-' : version,
    newest === 0 ? '-' : String(newest),
    certificateNotAfterMs === 0 ? '-' : duration(Math.max(0, certificateNotAfterMs - nowMs)),
  ])
  return [
    ...table(['id', 'node', 'state', 'version', 'level', 'certificate'], rows),
    '',
    ...table(
      ['check', '', ''],
      checks.map((check) => [check.name, check.isSafe ? 'ok' : 'NO', check.text]),
    ).slice(1),
    '',
    isSafe
      ? 'Safe: a node may be stopped and upgraded now.'
      : 'Not safe now: see what says NO above.',
    ...levelLines(level),
  ].join('\n')
}

function levelLines(level: CheckAnswer['level']): readonly string[] {
  const { active, newest, isByOperator, blockers, features } = level
  if (features.length === 0) return [`Feature level ${active}: all that this program knows is on.`]
  const when = isByOperator
    ? 'once you say `atoll admin upgrade raise`'
    : 'by itself a minute after all nodes support it'
  return [
    `Feature level ${active}; ${newest} comes ${when}, and is never lowered:`,
    ...features.map(({ name, what }) => `  ${name}: ${what}`),
    ...blockers.map((blocker) => `  waits: ${blocker}`),
  ]
}
