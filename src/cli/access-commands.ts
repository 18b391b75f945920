// `atoll admin tenant|user|group|policy|key|client-token|client-certificate|audit`: what each command is called, takes and shows. They
// all find their node alike, print JSON alike, name the tenant alike, and have examples.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { firstTenant } from '../access/index.ts'
import { Fault } from '../base/index.ts'
import { adminGroup } from './admin-group.ts'
import { type AccessCall, type Answer, listed, moment, newKey, text } from './access-command.ts'
import { addSpec, type Flags, type Parts, type Spec } from './access-spec.ts'

const shared = [['--tenant <id>', 'the tenant, by its 12 digits (default: the first)']] as const

/** Adds to `atoll admin`, which is made when nobody has. */
export function addAccessCommands(program: Command, parts: Parts): void {
  const admin = adminGroup(program)
  const group = (name: string, about: string, specs: readonly Spec[]): void => {
    const parent = admin.command(name).description(about)
    for (const spec of specs) addSpec(parent, spec, { parts, shared, place: `admin ${name}` })
  }
  group('tenant', 'Tenants: accounts with users, policies and buckets of their own.', tenants)
  group('user', 'Users of a tenant.', users)
  group('group', 'Groups of users.', groups)
  group('policy', "Policies in AWS's policy language.", policies)
  group('key', 'Access keys for S3, and the root credential.', keys)
  group('client-token', 'Tokens for the admin API, with scopes.', tokens)
  group('client-certificate', 'Certificates for the admin API, with scopes.', certificates)
  addSpec(admin, audit, { parts, shared, place: 'admin' })
}

const done = (what: string) => (): string => what

const body = (method: 'POST' | 'PUT', path: string, value: unknown): AccessCall => ({
  method,
  path,
  body: value,
})

const tenantOf = ({ tenant }: Flags): string =>
  `tenants/${encodeURIComponent(typeof tenant === 'string' ? tenant : firstTenant)}`
const part = (name: string | undefined): string => encodeURIComponent(name ?? '')

const tenants: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: 'Make a tenant; shows the access key of its root.',
    example: 'create acme',
    read: ([name]) => body('POST', 'tenants', { name }),
    show: ({ tenant, key }) => `tenant ${(tenant as Answer).id}\n${newKey(key as Answer)}`,
  },
  {
    usage: 'list',
    about: 'List the tenants.',
    example: 'list',
    read: () => ({ method: 'GET', path: 'tenants' }),
    show: listed('tenants', [
      ['ID', text('id')],
      ['NAME', text('name')],
      ['CREATED', moment('createdMs')],
    ]),
  },
  {
    usage: 'delete <id>',
    about: 'Delete a tenant that has no users, policies, tokens and buckets any more.',
    example: 'delete 123456789012',
    read: ([id]) => ({ method: 'DELETE', path: `tenants/${part(id)}` }),
    show: done('deleted'),
  },
]

const users: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: 'Make a user, who may do nothing yet.',
    example: 'create alice',
    read: ([name], flags) => body('POST', `${tenantOf(flags)}/users`, { name }),
    show: ({ name }) => `user ${name}`,
  },
  {
    usage: 'list',
    about: 'List users with their groups, policies and keys.',
    example: 'list --tenant 123456789012',
    read: (_, flags) => ({ method: 'GET', path: `${tenantOf(flags)}/users` }),
    show: listed('users', [
      ['NAME', text('name')],
      ['GROUPS', text('groups')],
      ['POLICIES', text('policies')],
      ['KEYS', text('keys')],
      ['CREATED', moment('createdMs')],
    ]),
  },
  {
    usage: 'delete <name>',
    about: 'Delete a user that has no access keys any more.',
    example: 'delete alice',
    read: ([name], flags) => ({ method: 'DELETE', path: `${tenantOf(flags)}/users/${part(name)}` }),
    show: done('deleted'),
  },
]

const member =
  (method: 'PUT' | 'DELETE') =>
  ([group, user]: readonly string[], flags: Flags): AccessCall => ({
    method,
    path: `${tenantOf(flags)}/groups/${part(group)}/members/${part(user)}`,
  })

const groups: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: 'Make a group.',
    example: 'create developers',
    read: ([name], flags) => body('POST', `${tenantOf(flags)}/groups`, { name }),
    show: ({ name }) => `group ${name}`,
  },
  {
    usage: 'list',
    about: 'List groups with their policies.',
    example: 'list',
    read: (_, flags) => ({ method: 'GET', path: `${tenantOf(flags)}/groups` }),
    show: listed('groups', [
      ['NAME', text('name')],
      ['POLICIES', text('policies')],
      ['CREATED', moment('createdMs')],
    ]),
  },
  {
    usage: 'add <group> <user>',
    about: 'Make a user a member.',
    example: 'add developers alice',
    read: member('PUT'),
    show: ({ name, groups: all }) => `${name} is in ${(all as readonly string[]).join(', ')}`,
  },
  {
    usage: 'remove <group> <user>',
    about: 'End a membership.',
    example: 'remove developers alice',
    read: member('DELETE'),
    show: done('removed'),
  },
  {
    usage: 'delete <name>',
    about: 'Delete a group without members.',
    example: 'delete developers',
    read: ([name], flags) => ({
      method: 'DELETE',
      path: `${tenantOf(flags)}/groups/${part(name)}`,
    }),
    show: done('deleted'),
  },
]

const holders = [
  ['--user <name>', 'the user'],
  ['--group <name>', 'the group'],
] as const

const attachment =
  (method: 'PUT' | 'DELETE') =>
  ([policy]: readonly string[], flags: Flags): AccessCall => {
    const { user, group } = flags
    if ((user === undefined) === (group === undefined)) {
      throw new Fault('invalid', 'one of --user and --group is needed')
    }
    const holder =
      user === undefined ? `groups/${part(String(group))}` : `users/${part(String(user))}`
    return { method, path: `${tenantOf(flags)}/${holder}/policies/${part(policy)}` }
  }

const policies: readonly Spec[] = [
  {
    usage: 'put <name> <file>',
    about: 'Make or replace a policy from a file (- for standard input).',
    example: 'put read-photos policy.json',
    read: ([name, file], flags) =>
      body('PUT', `${tenantOf(flags)}/policies/${part(name)}`, { document: readPolicy(file) }),
    show: ({ name }) => `policy ${name}`,
  },
  {
    usage: 'list',
    about: 'List policies; --json shows their documents.',
    example: 'list --json',
    read: (_, flags) => ({ method: 'GET', path: `${tenantOf(flags)}/policies` }),
    show: listed('policies', [
      ['NAME', text('name')],
      ['CHANGED', moment('changedMs')],
    ]),
  },
  {
    usage: 'attach <policy>',
    about: 'Give a policy to a user or to a group.',
    example: 'attach read-photos --user alice',
    options: holders,
    read: attachment('PUT'),
    show: done('attached'),
  },
  {
    usage: 'detach <policy>',
    about: 'Take a policy from a user or from a group.',
    example: 'detach read-photos --group developers',
    options: holders,
    read: attachment('DELETE'),
    show: done('detached'),
  },
  {
    usage: 'delete <name>',
    about: 'Delete a policy that is attached to nobody.',
    example: 'delete read-photos',
    read: ([name], flags) => ({
      method: 'DELETE',
      path: `${tenantOf(flags)}/policies/${part(name)}`,
    }),
    show: done('deleted'),
  },
]

const keyUser = [['--user <name>', "the user (default: the tenant's root)"]] as const

const switchKey =
  (active: boolean) =>
  ([id]: readonly string[], flags: Flags): AccessCall =>
    body('PUT', `${tenantOf(flags)}/keys/${part(id)}`, { active })

const keys: readonly Spec[] = [
  {
    usage: 'create',
    about: 'Make an access key; its secret is shown once.',
    example: 'create --user alice',
    options: keyUser,
    read: (_, flags) => {
      const { user } = flags
      return body('POST', `${tenantOf(flags)}/keys`, user === undefined ? {} : { user })
    },
    show: newKey,
  },
  {
    usage: 'list',
    about: 'List the access keys of a user or of the root.',
    example: 'list --user alice',
    options: keyUser,
    read: (_, flags) => {
      const query = flags.user === undefined ? '' : `?user=${part(String(flags.user))}`
      return { method: 'GET', path: `${tenantOf(flags)}/keys${query}` }
    },
    show: listed('keys', [
      ['ID', text('id')],
      ['ACTIVE', text('isActive')],
      ['CREATED', moment('createdMs')],
      ['ENDS', moment('expiresMs')],
    ]),
  },
  {
    usage: 'disable <id>',
    about: 'Stop honouring a key.',
    example: 'disable AKIAABCDEFGHIJKLMNOP',
    read: switchKey(false),
    show: done('disabled'),
  },
  {
    usage: 'enable <id>',
    about: 'Honour a key again.',
    example: 'enable AKIAABCDEFGHIJKLMNOP',
    read: switchKey(true),
    show: done('enabled'),
  },
  {
    usage: 'delete <id>',
    about: 'Delete a key.',
    example: 'delete AKIAABCDEFGHIJKLMNOP',
    read: ([id], flags) => ({ method: 'DELETE', path: `${tenantOf(flags)}/keys/${part(id)}` }),
    show: done('deleted'),
  },
  {
    usage: 'rotate-root',
    about: 'Make a new root credential; the old ones are honoured for a while more.',
    example: 'rotate-root --overlap 24h',
    options: [['--overlap <time>', 'how long, for example 30m, 24h, 7d (default 1h)']],
    read: (_, flags) =>
      body('POST', `${tenantOf(flags)}/root/rotate`, {
        overlapSeconds: parseSeconds('--overlap', String(flags.overlap ?? '1h')),
      }),
    show: newKey,
  },
]

const tokens: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: 'Make a token for the admin API; it is shown once.',
    example: 'create dashboard --scopes metadata --life 30d',
    options: [
      ['--scopes <list>', 'metadata (see), replication (audit, repair), admin (everything)'],
      ['--life <time>', 'how long it is honoured, for example 12h, 30d (default 30d)'],
    ],
    read: ([name], flags) =>
      body('POST', `${tenantOf(flags)}/tokens`, {
        name,
        scopes: String(flags.scopes ?? '').split(','),
        lifeSeconds: parseSeconds('--life', String(flags.life ?? '30d')),
      }),
    show: (got) =>
      `token: ${got.token}\nSend it as "authorization: Bearer TOKEN". It is not shown again.`,
  },
  {
    usage: 'list',
    about: 'List tokens.',
    example: 'list',
    read: (_, flags) => ({ method: 'GET', path: `${tenantOf(flags)}/tokens` }),
    show: listed('tokens', [
      ['ID', text('id')],
      ['NAME', text('name')],
      ['SCOPES', text('scopes')],
      ['ENDS', moment('expiresMs')],
    ]),
  },
  {
    usage: 'delete <id>',
    about: 'Revoke a token.',
    example: 'delete ABCDEFGHIJKLMNOP',
    read: ([id], flags) => ({ method: 'DELETE', path: `${tenantOf(flags)}/tokens/${part(id)}` }),
    show: done('revoked'),
  },
]

const certificates: readonly Spec[] = [
  {
    usage: 'create <name>',
    about: "Make a key here and have the cluster's authority sign a certificate for it.",
    example: 'create ops-laptop --scopes admin --life 90d --out ./ops-laptop',
    options: [
      ['--scopes <list>', 'metadata (see), replication (audit, repair), admin (everything)'],
      ['--life <time>', 'how long it is honoured, for example 12h, 90d (default 90d)'],
      ['--user <name>', 'whose it is: it ends with that user'],
      ['--out <path>', 'where PATH.key and PATH.pem are written (default: its name)'],
      ['--certificate <file>', 'take down this one instead, whoever signed it'],
    ],
    read: ([name], flags) => body('POST', `${tenantOf(flags)}/certificates`, { name }),
    show: done('made'),
    async run([name = ''], flags, where) {
      const { createClientCertificate } = await import('./client-certificate.ts')
      const flag = (key: string): string | undefined => {
        const value = flags[key]
        return typeof value === 'string' ? value : undefined
      }
      return await createClientCertificate({
        ...where,
        tenant: tenantOf(flags),
        name,
        user: flag('user'),
        scopes: (flag('scopes') ?? '').split(','),
        lifeSeconds: parseSeconds('--life', flag('life') ?? '90d'),
        out: flag('out') ?? name,
        certificate: flag('certificate'),
      })
    },
  },
  {
    usage: 'list',
    about: 'List certificates of clients.',
    example: 'list',
    read: (_, flags) => ({ method: 'GET', path: `${tenantOf(flags)}/certificates` }),
    show: listed('certificates', [
      ['ID', text('id')],
      ['NAME', text('name')],
      ['USER', text('user')],
      ['SCOPES', text('scopes')],
      ['ENDS', moment('expiresMs')],
    ]),
  },
  {
    usage: 'delete <id>',
    about: 'Revoke a certificate.',
    example: 'delete 0123456789abcdef0123',
    read: ([id], flags) => ({
      method: 'DELETE',
      path: `${tenantOf(flags)}/certificates/${part(id)}`,
    }),
    show: done('revoked'),
  },
]

const audit: Spec = {
  usage: 'audit',
  about: 'Show the log of administrative acts, newest first.',
  example: 'audit --limit 50',
  options: [
    ['--limit <n>', 'how many (default 100, at most 1000)'],
    ['--before <sequence>', 'those before this one'],
  ],
  read: (_, flags) => {
    const query = ['limit', 'before'].flatMap((name) =>
      flags[name] === undefined ? [] : [`${name}=${part(String(flags[name]))}`],
    )
    return { method: 'GET', path: query.length === 0 ? 'audit' : `audit?${query.join('&')}` }
  },
  show: listed('entries', [
    ['SEQUENCE', text('sequence')],
    ['WHEN', moment('atMs')],
    ['WHO', text('actor')],
    ['FROM', text('source')],
    ['WHAT', text('action')],
    ['ON', text('resource')],
    ['OUTCOME', text('outcome')],
  ]),
}

const documentBytesMax = 64 * 1024

function readPolicy(file: string | undefined): string {
  const source = file === undefined || file === '-' ? 0 : file
  let document: string
  try {
    document = readFileSync(source, 'utf8')
  } catch (error) {
    throw new Fault('not-found', `the policy ${file} cannot be read`, { cause: error })
  }
  if (document.length > documentBytesMax) throw new Fault('too-large', `${file} is no policy`)
  return document
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** '90s', '30m', '24h', '7d'. */
export function parseSeconds(flag: string, given: string): number {
  const { count, unit } = /^(?<count>\d{1,6})(?<unit>[smhd])$/.exec(given)?.groups ?? {}
  const seconds = unitSeconds[unit ?? '']
  if (count !== undefined && seconds !== undefined) return Number(count) * seconds
  throw new Fault('invalid', `${flag} ${given}: expected a time, for example 90s, 30m, 24h or 7d`)
}
