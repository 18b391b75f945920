// `atoll service install` and `uninstall`: a node under systemd on this machine. Installing twice is harmless, and
// uninstalling never touches the data.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../base/index.ts'
import { writeText } from './files.ts'
import { renderUnit, unitDataDir, unitName, type UnitPlan, unitUser } from './systemd-unit.ts'
import { answer, tell } from './terminal.ts'

type Finish = (run: () => Promise<number>) => Promise<void>
type InstallFlags = {
  readonly dataDir: string
  readonly user: string
  readonly start: boolean
  readonly print?: boolean
  readonly json?: boolean
}

const unitPath = `/etc/systemd/system/${unitName}`
/** systemd manages this machine: sd_booted(3). */
const bootedPath = '/run/systemd/system'

export function addUnitCommands(program: Command, finish: Finish): void {
  const commands = program
    .command('service')
    .description('A node that systemd starts with the machine.')
  commands
    .command('install')
    .description('Write the unit, make its user and directory, enable and start it.')
    .option('--data-dir <dir>', "the node's directory", unitDataDir)
    .option('--user <name>', 'the account that it runs as; made when there is none', unitUser)
    .option('--no-start', 'enable it for the next boot only')
    .option('--print', 'print the unit and change nothing')
    .option('--json', 'print what was done as one line of JSON')
    .addHelpText(
      'after',
      `
A node without a cluster waits: pair it on its setup page (port 7777), or run \`atoll admin init\` or
\`atoll admin join\` on the same directory. What it says is in the journal: journalctl -u atoll

Examples:
  sudo atoll service install
  sudo atoll service install --data-dir /srv/atoll
  atoll service install --print
  sudo atoll service install --no-start --json
`,
    )
    .action(async (flags: InstallFlags) => {
      await finish(async () => {
        const done = install(flags)
        if (flags.json === true) answer(JSON.stringify(done))
        else if (flags.print === true) answer(done.text)
        return 0
      })
    })
  commands
    .command('uninstall')
    .description('Stop it and remove the unit. The data stays.')
    .option('--json', 'print what was done as one line of JSON')
    .addHelpText('after', '\nExamples:\n  sudo atoll service uninstall\n')
    .action(async (flags: { readonly json?: boolean }) => {
      await finish(async () => {
        uninstall()
        if (flags.json === true) answer(JSON.stringify({ unit: unitPath, isInstalled: false }))
        return 0
      })
    })
}

type Installed = UnitPlan & {
  readonly unit: string
  readonly text: string
  readonly isInstalled: boolean
  readonly isEnabled: boolean
  readonly isStarted: boolean
}

function install(flags: InstallFlags): Installed {
  const plan: UnitPlan = {
    command: ownCommand(),
    dataDir: resolve(flags.dataDir),
    user: flags.user,
  }
  const text = renderUnit(plan)
  const bare = { ...plan, unit: unitPath, text, isEnabled: false, isStarted: false }
  if (flags.print === true) return { ...bare, isInstalled: false }
  requireRoot('install')
  ensureUser(plan)
  mkdirSync(plan.dataDir, { recursive: true })
  chmodSync(plan.dataDir, 0o700)
  run('chown', ['-R', `${plan.user}:${plan.user}`, plan.dataDir])
  writeText(unitPath, text)
  tell(`atoll: wrote ${unitPath}`)
  if (!existsSync(bootedPath)) {
    tell(`atoll: systemd does not run this machine now; once it does: systemctl enable --now atoll`)
    return { ...bare, isInstalled: true }
  }
  run('systemctl', ['daemon-reload'])
  run('systemctl', ['enable', ...(flags.start ? ['--now'] : []), unitName])
  tell(
    `atoll: ${flags.start ? 'started' : 'enabled'}; it writes to the journal: journalctl -u atoll`,
  )
  return { ...bare, isInstalled: true, isEnabled: true, isStarted: flags.start }
}

function uninstall(): void {
  requireRoot('uninstall')
  if (!existsSync(unitPath)) {
    throw new Fault('not-found', `${unitPath} does not exist`, {
      next: 'a package brings its own unit: remove the package instead',
    })
  }
  if (existsSync(bootedPath)) run('systemctl', ['disable', '--now', unitName])
  rmSync(unitPath)
  if (existsSync(bootedPath)) run('systemctl', ['daemon-reload'])
  tell('atoll: the service is gone; its data is where it was')
}

/** How this program is started: the installed command, or this checkout's. */
function ownCommand(): readonly string[] {
  const root = join(import.meta.dirname, '..', '..')
  const isPackage = root === '/usr/lib/atoll' && existsSync('/usr/bin/atoll')
  return isPackage ? ['/usr/bin/atoll'] : [process.execPath, join(root, 'scripts', 'atoll.mjs')]
}

function requireRoot(verb: string): void {
  if (process.getuid?.() === 0) return
  throw new Fault('denied', `\`atoll service ${verb}\` changes the system`, {
    next: `sudo atoll service ${verb}`,
  })
}

function ensureUser({ user, dataDir }: UnitPlan): void {
  if (spawnSync('id', ['-u', user]).status === 0) return
  const shell = '/usr/sbin/nologin'
  run('useradd', ['--system', '--user-group', '--home-dir', dataDir, '--shell', shell, user])
  tell(`atoll: made the user ${user}`)
}

/** Fault 'internal' with what the program said. */
function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (status === 0) return
  const said = error?.message ?? stderr.trim()
  throw new Fault('internal', `${program} ${args.join(' ')} failed: ${said}`)
}
