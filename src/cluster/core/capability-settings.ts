// What runs on nodes by capability, and the settings that cluster.json has for each (the document's, and ours): which names there are,
// what values they take, and whether this version has the program at all. Settings of one that it lacks are kept and told
// to every node like the others, so that a later version finds them; nothing pretends to run.
//
//   api_bind   where a node serves: ':9002' (its own address), '10.0.0.7:9002', '[::1]:9002'; '' as the node's own flags say

import { Fault } from '../../base/index.ts'
import type { Address } from '../../host/index.ts'
import type { JsonValue } from '../enrolment.ts'
import { parseAddress } from './json-fields.ts'

type Rule = { readonly what: string; readonly isSound: (value: JsonValue) => boolean }

export type CapabilityKind = {
  /** What it is, for people. */
  readonly about: string
  /** False: this version has no program for it. */
  readonly isHere: boolean
  readonly settings: Readonly<Record<string, Rule>>
}

const whole = (least: number, most: number): Rule => ({
  what: `a whole number from ${least} to ${most}`,
  isSound: (value) =>
    Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most,
})
const bind: Rule = {
  what: "':PORT' or 'HOST:PORT'",
  isSound: (value) => value === '' || (typeof value === 'string' && parseBind(value) !== undefined),
}
const yesOrNo: Rule = { what: 'true or false', isSound: (value) => typeof value === 'boolean' }
const name: Rule = {
  what: 'a name of letters, digits, dots and hyphens',
  isSound: (value) => typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(value),
}
const blockSize: Rule = {
  what: 'a power of two from 512 to 65536',
  isSound: (value) => [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536].includes(Number(value)),
}

const membersMax = 1024

export const capabilityKinds: Readonly<Record<string, CapabilityKind>> = {
  control: {
    about: 'members with it admit machines and sign certificates',
    isHere: true,
    settings: { quorum: whole(1, membersMax) },
  },
  s3: {
    about: 'S3, over TLS at api_bind',
    isHere: true,
    settings: { api_bind: bind, replicas: whole(1, membersMax) },
  },
  etcd: {
    about: "etcd's API, over TLS at api_bind",
    isHere: true,
    settings: { api_bind: bind, client_certificate: yesOrNo },
  },
  sql: { about: 'SQL databases, on the admin port', isHere: true, settings: {} },
  console: {
    about: 'pages for operators, on the admin port of every node',
    isHere: true,
    settings: {},
  },
  ec2: { about: 'machines', isHere: false, settings: { api_bind: bind } },
  ebs: {
    about: 'volumes',
    isHere: false,
    settings: { replicas: whole(1, membersMax), block_size: blockSize },
  },
  nats: {
    about: 'messages',
    isHere: false,
    settings: { cluster: name, quorum: whole(1, membersMax) },
  },
}

/** Fault 'invalid' for a service or a setting that there is not, and for a value that it does not take. */
export function checkCapabilitySetting(service: string, field: string, value: JsonValue): void {
  const kind = Object.hasOwn(capabilityKinds, service) ? capabilityKinds[service] : undefined
  if (kind === undefined) {
    throw new Fault('invalid', `there is no service ${service}`, {
      next: `there are ${Object.keys(capabilityKinds).join(', ')}`,
    })
  }
  const rule = Object.hasOwn(kind.settings, field) ? kind.settings[field] : undefined
  if (rule === undefined) {
    const names = Object.keys(kind.settings)
    throw new Fault('invalid', `${service} has no setting ${field}`, {
      next: names.length === 0 ? `${service} has none` : `it has ${names.join(', ')}`,
    })
  }
  if (!rule.isSound(value)) throw new Fault('invalid', `${service}.${field} takes ${rule.what}`)
}

/** `host` undefined: the node's own. Undefined for what is no bind. */
export function parseBind(
  text: string,
): { readonly host: string | undefined; readonly port: number } | undefined {
  const port = /^:([0-9]{1,5})$/.exec(text)?.[1]
  if (port === undefined) return parseAddress(text)
  return Number(port) >= 1 && Number(port) <= 65_535
    ? { host: undefined, port: Number(port) }
    : undefined
}

type Services = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** Where a service is to be by what was set for it; undefined: nothing was, or nothing that can be read. */
export function bindOf(
  services: Services | undefined,
  service: string,
  ownHost: string,
): Address | undefined {
  const text = services?.[service]?.api_bind
  const found = typeof text === 'string' ? parseBind(text) : undefined
  return found === undefined ? undefined : { host: found.host ?? ownHost, port: found.port }
}
