// What an operator sets for the whole cluster: its defaults, its rules, and its form in JSON.

import { Fault } from '../../base/index.ts'
import type { ClusterConfig, JsonValue } from '../enrolment.ts'
import { canonicalJson, readJsonText } from './canonical-json.ts'
import { JsonFields } from './json-fields.ts'

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
