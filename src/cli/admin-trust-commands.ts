// What the flags of `atoll admin config`, `authority` and `certificates` mean.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { parseCount } from './options.ts'

type RawFlags = Readonly<Record<string, string | boolean | undefined>>
type Finish = (run: () => Promise<number>) => Promise<void>

export function addTrustCommands(
  admin: Command,
  { finish, flags }: { readonly finish: Finish; readonly flags: (command: Command) => Command },
): void {
  addConfig(admin.command('config').description('Settings of the cluster.'), { finish, flags })
  addAuthority(admin.command('authority').description('Who signs certificates of nodes.'), {
    finish,
    flags,
  })
  flags(admin.command('certificates').description('The newest certificate of each node.'))
    .addHelpText('after', '\nExamples:\n  atoll admin certificates --data-dir /srv/atoll\n')
    .action(async (raw: RawFlags) => {
      const { listCertificates } = await import('./admin-trust.ts')
      await finish(() => listCertificates(readAsk(raw)))
    })
}

type Adding = { readonly finish: Finish; readonly flags: (command: Command) => Command }

function addConfig(config: Command, { finish, flags }: Adding): void {
  flags(config.command('get [name]').description('Show the settings, or one of them.'))
    .addHelpText('after', '\nExamples:\n  atoll admin config get --data-dir /srv/atoll\n')
    .action(async (name: string | undefined, raw: RawFlags) => {
      const { getConfig } = await import('./admin-trust.ts')
      await finish(() => getConfig({ ...readAsk(raw), name }))
    })
  flags(config.command('set <name> [value]').description('Change a setting, everywhere and now.'))
    .addHelpText(
      'after',
      `
NAME is target_size, members_max, approval (automatic or operator), certificate_seconds, or one of a service's:
s3.api_bind, s3.replicas, etcd.api_bind, etcd.client_certificate, control.quorum; and, kept for versions that have them,
ec2.api_bind, ebs.replicas, ebs.block_size, nats.cluster, nats.quorum. Without VALUE it goes back to its default.

s3.api_bind moves S3 over TLS on every node that runs it. etcd.api_bind switches etcd's API on, over TLS, for clients with a
certificate (atoll admin client-certificate create NAME --scopes admin; etcd.client_certificate false: for anybody).

Examples:
  atoll admin config set target_size 5 --data-dir /srv/atoll
  atoll admin config set s3.replicas 3
  atoll admin config set certificate_seconds 86400
`,
    )
    .action(async (name: string, value: string | undefined, raw: RawFlags) => {
      const { setConfig } = await import('./admin-trust.ts')
      await finish(() => setConfig({ ...readAsk(raw), name, value }))
    })
  flags(config.command('history').description('Who changed what, newest first.'))
    .addHelpText('after', '\nExamples:\n  atoll admin config history --data-dir /srv/atoll\n')
    .action(async (raw: RawFlags) => {
      const { listConfigHistory } = await import('./admin-trust.ts')
      await finish(() => listConfigHistory(readAsk(raw)))
    })
  flags(config.command('rollback <version>').description('Make earlier settings the newest.'))
    .addHelpText('after', '\nExamples:\n  atoll admin config rollback 3 --data-dir /srv/atoll\n')
    .action(async (version: string, raw: RawFlags) => {
      const { rollbackConfig } = await import('./admin-trust.ts')
      const wanted = parseCount('version', version, [1, 99_999_999])
      await finish(() => rollbackConfig({ ...readAsk(raw), version: wanted }))
    })
}

const steps = {
  add: 'Make a second authority; everybody trusts both, the first signs.',
  issue: 'The second signs from now on; certificates are renewed at once, open tokens end.',
  drop: 'The first is trusted no longer.',
} as const

function addAuthority(authority: Command, { finish, flags }: Adding): void {
  const add = (name: string, description: string, step: keyof typeof steps | undefined): void => {
    flags(authority.command(name).description(description))
      .addHelpText(
        'after',
        `
A rotation is add, issue, drop. Each is refused until every node has taken the one before it.

Examples:
  atoll admin authority ${name} --data-dir /srv/atoll
`,
      )
      .action(async (raw: RawFlags) => {
        const { showAuthorities } = await import('./admin-trust.ts')
        await finish(() => showAuthorities({ ...readAsk(raw), step }))
      })
  }
  add('list', 'Authorities that nodes trust, and which of them signs.', undefined)
  for (const step of ['add', 'issue', 'drop'] as const) add(step, steps[step], step)
}

function readAsk(raw: RawFlags) {
  return { dataDir: resolve(String(raw.dataDir)), isJson: raw.json === true }
}
