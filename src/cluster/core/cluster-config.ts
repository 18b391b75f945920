// What an operator sets for the whole cluster: its defaults, its rules, and its form in JSON.

import { Fault } from '../../base/index.ts'
import type { ClusterConfig, JsonValue } from '../enrolment.ts'
import { canonicalJson, readJsonText } from './canonical-json.ts'
import { JsonFields } from './json-fields.ts'
import { checkCapabilitySetting } from './capability-settings.ts'

const configCharsMax = 64 * 1024
const sizeMax = 4096
const certificateSecondsMax = 10 * 366 * 86_400

export const configDefaults: ClusterConfig = {
  targetSize: 1,
  membersMax: 1024,
  approval: 'automatic',
  certificateSeconds: 7 * 86_400,
  services: {},
}

/** The same, if it keeps the rules; Fault 'invalid' names the setting that does not. */
export function checkClusterConfig(config: ClusterConfig): ClusterConfig {
  const text = canonicalJson(config)
  return readClusterConfig(text)
}

export function readClusterConfig(text: string): ClusterConfig {
  const fields = new JsonFields(readJsonText(text, configCharsMax), 'settings')
  const size = { least: 1, most: sizeMax }
  const services = fields.object('services')
  const approval = fields.text('approval', { charsMax: 16 })
  if (approval !== 'automatic' && approval !== 'operator') {
    throw new Fault('invalid', `settings: approval is 'automatic' or 'operator'`)
  }
  const names = Object.keys(services)
  for (const name of names)
    new JsonFields(services[name], `settings: services.${name.slice(0, 64)}`)
  if (!names.every((name) => /^[a-z][a-z0-9-]{0,31}$/.test(name))) {
    throw new Fault('invalid', 'settings: services are named by capabilities, in small letters')
  }
  return {
    targetSize: fields.integer('targetSize', size),
    membersMax: fields.integer('membersMax', size),
    approval,
    certificateSeconds: fields.integer('certificateSeconds', {
      least: 60,
      most: certificateSecondsMax,
    }),
    services: services as Readonly<Record<string, Readonly<Record<string, JsonValue>>>>,
  }
}

/** Settings as people name them. */
const settingNames = {
  target_size: 'targetSize',
  members_max: 'membersMax',
  approval: 'approval',
  certificate_seconds: 'certificateSeconds',
} as const

export type SettingName = keyof typeof settingNames

/**
 * The settings with one changed: 'target_size', 'certificate_seconds', 's3.replicas' (of a capability's entry in
 * cluster.json). Undefined takes a capability's entry back to its default. Fault 'invalid' for a name or value
 * that there is not.
 */
export function changeSetting(
  config: ClusterConfig,
  name: string,
  value: JsonValue | undefined,
): ClusterConfig {
  const own = Object.hasOwn(settingNames, name) ? settingNames[name as SettingName] : undefined
  if (own !== undefined) {
    return checkClusterConfig({ ...config, [own]: value ?? configDefaults[own] } as ClusterConfig)
  }
  const [capability = '', field = '', ...rest] = name.split('.')
  if (
    !/^[a-z][a-z0-9-]{0,31}$/.test(capability) ||
    !/^[a-z][a-z0-9_]{0,63}$/.test(field) ||
    rest.length > 0
  ) {
    throw new Fault('invalid', `there is no setting ${name.slice(0, 64)}`, {
      next: `there are ${Object.keys(settingNames).join(', ')}, and those of capabilities, like s3.replicas`,
    })
  }
  if (value !== undefined) checkCapabilitySetting(capability, field, value)
  const { [field]: _, ...others } = config.services[capability] ?? {}
  const entry = value === undefined ? others : { ...others, [field]: value }
  const { [capability]: __, ...services } = config.services
  const isEmpty = Object.keys(entry).length === 0
  return checkClusterConfig({
    ...config,
    services: isEmpty ? services : { ...services, [capability]: entry },
  })
}
