// `atoll admin config`, `authority`, `certificates`: the cluster's settings, who signs for it, and how long what was
// signed is good.

import * as v from 'valibot'
import { Fault } from '../base/index.ts'
import { type AskOptions, askNode } from './admin-tokens.ts'
import { duration, table } from './status-text.ts'
import { answer } from './terminal.ts'

const configSchema = v.looseObject({
  targetSize: v.number(),
  membersMax: v.number(),
  approval: v.string(),
  certificateSeconds: v.number(),
  services: v.record(v.string(), v.record(v.string(), v.unknown())),
})
const versionSchema = v.object({
  version: v.number(),
  changedMs: v.number(),
  changedBy: v.string(),
  config: configSchema,
})
type Version = v.InferOutput<typeof versionSchema>

/** With a name: that setting's value alone. */
export async function getConfig(
  options: AskOptions & { readonly name: string | undefined },
): Promise<number> {
  const now = v.parse(versionSchema, await askNode(options, { method: 'GET', path: '/v1/config' }))
  if (options.name !== undefined) {
    const row = rowsOf(now).find(([name]) => name === options.name)
    if (row === undefined) {
      throw new Fault('not-found', `${options.name} is not set`, {
        next: 'atoll admin config get lists what is; the rest is at its default',
      })
    }
    answer(options.isJson ? JSON.stringify({ [row[0]]: row[1] }) : textOf(row[1]))
  } else if (options.isJson) answer(JSON.stringify(now))
  else answer(configText(now))
  return 0
}

export async function setConfig(
  options: AskOptions & { readonly name: string; readonly value: string | undefined },
): Promise<number> {
  const { name, value } = options
  const body = value === undefined ? { name } : { name, value: parseValue(value) }
  return await tellVersion(options, { method: 'PUT', path: '/v1/config', body })
}

export async function rollbackConfig(
  options: AskOptions & { readonly version: number },
): Promise<number> {
  const body = { version: options.version }
  return await tellVersion(options, { method: 'POST', path: '/v1/config/rollback', body })
}

export async function listConfigHistory(options: AskOptions): Promise<number> {
  const given = await askNode(options, { method: 'GET', path: '/v1/config/history' })
  const { versions } = v.parse(v.object({ versions: v.array(versionSchema) }), given)
  if (options.isJson) answer(JSON.stringify({ versions }))
  else {
    const rows = versions.map((one) => [
      String(one.version),
      new Date(one.changedMs).toISOString(),
      one.changedBy,
      rowsOf(one)
        .map(([name, value]) => `${name}=${textOf(value)}`)
        .join(' '),
    ])
    answer(table(['version', 'when', 'by', 'settings'], rows).join('\n'))
  }
  return 0
}

const authoritiesSchema = v.object({
  authorities: v.array(v.object({ pin: v.string(), state: v.string(), notAfterMs: v.number() })),
})

/** Without a step the authorities are listed. */
export async function showAuthorities(
  options: AskOptions & { readonly step: 'add' | 'issue' | 'drop' | undefined },
): Promise<number> {
  const { step } = options
  const call =
    step === undefined
      ? ({ method: 'GET', path: '/v1/authorities' } as const)
      : ({ method: 'POST', path: `/v1/authorities/${step}`, body: {} } as const)
  const { authorities } = v.parse(authoritiesSchema, await askNode(options, call))
  if (options.isJson) answer(JSON.stringify({ authorities }))
  else {
    const rows = authorities.map(({ pin, state, notAfterMs }) => [pin, state, left(notAfterMs)])
    answer(table(['authority', 'state', 'good for'], rows).join('\n'))
  }
  return 0
}

const certificatesSchema = v.object({
  certificates: v.array(
    v.object({ member: v.number(), serial: v.string(), notAfterMs: v.number() }),
  ),
})

export async function listCertificates(options: AskOptions): Promise<number> {
  const given = await askNode(options, { method: 'GET', path: '/v1/certificates' })
  const { certificates } = v.parse(certificatesSchema, given)
  if (options.isJson) answer(JSON.stringify({ certificates }))
  else {
    const rows = certificates.map(({ member, serial, notAfterMs }) => {
      return [String(member), serial, left(notAfterMs)]
    })
    answer(table(['node', 'serial', 'good for'], rows).join('\n'))
  }
  return 0
}

async function tellVersion(
  options: AskOptions,
  call: Parameters<typeof askNode>[1],
): Promise<number> {
  const now = v.parse(versionSchema, await askNode(options, call))
  answer(options.isJson ? JSON.stringify(now) : configText(now))
  return 0
}

function configText(now: Version): string {
  const rows = rowsOf(now).map(([name, value]) => [name, textOf(value)])
  return [
    `version ${now.version} by ${now.changedBy}`,
    '',
    ...table(['setting', 'value'], rows),
  ].join('\n')
}

/** Settings as `config set` takes them. */
function rowsOf({ config }: Version): readonly (readonly [string, unknown])[] {
  const { targetSize, membersMax, approval, certificateSeconds, services } = config
  const own: (readonly [string, unknown])[] = [
    ['target_size', targetSize],
    ['members_max', membersMax],
    ['approval', approval],
    ['certificate_seconds', certificateSeconds],
  ]
  for (const [capability, entry] of Object.entries(services)) {
    for (const [name, value] of Object.entries(entry)) own.push([`${capability}.${name}`, value])
  }
  return own
}

/** JSON where it is JSON, else text: 3, true, :9002. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function left(notAfterMs: number): string {
  const ms = notAfterMs - Date.now()
  return ms <= 0 ? 'ended' : duration(ms)
}
