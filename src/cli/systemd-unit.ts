// The systemd unit that runs a node, as text. systemd.exec(5), systemd.service(5), sd-daemon(3).
//
// The node stops within seconds of SIGTERM; only what hangs is killed. It is started again after a crash, but not after
// a refusal that a person has to mend (exit statuses of sysexits(3), 64, 65, 66, 77, 78), where trying again would only fill the journal.

import { Fault } from '../base/index.ts'

export type UnitPlan = {
  /** The command and its leading arguments: '/usr/bin/atoll'. */
  readonly command: readonly string[]
  readonly dataDir: string
  readonly user: string
}

export const unitName = 'atoll.service'
export const unitUser = 'atoll'
export const unitDataDir = '/var/lib/atoll'
export const unitCacheDir = '/var/cache/atoll'

/** Fault 'invalid' for a path or name that a unit cannot carry. */
export function renderUnit({ command, dataDir, user }: UnitPlan): string {
  if (!dataDir.startsWith('/')) throw new Fault('invalid', `${dataDir} is not an absolute path`)
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(user)) {
    throw new Fault('invalid', `${user} is not a name of a user`)
  }
  const start = [...command, 'start', '--data-dir', dataDir, '--log', 'journal'].map(quoteWord)
  const isDefaultDir = dataDir === unitDataDir
  const isAtHome = [dataDir, ...command].some((path) => /^\/(home|root)\//.test(path))
  return `[Unit]
Description=Atoll node
Documentation=file:///usr/share/doc/atoll/README.md
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=exec
User=${user}
Group=${user}
ExecStart=${start.join(' ')}
Environment=NODE_COMPILE_CACHE=${unitCacheDir}
${isDefaultDir ? 'StateDirectory=atoll\nStateDirectoryMode=0700' : `ReadWritePaths=${quoteWord(dataDir)}`}
CacheDirectory=atoll
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=64 65 66 77 78
KillMode=mixed
TimeoutStopSec=30
LimitNOFILE=1048576
OOMScoreAdjust=-500
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=${isAtHome ? 'read-only' : 'yes'}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes

[Install]
WantedBy=multi-user.target
`
}

/** One word of a unit's command line: quoted where spaces, quotes or specifiers would mean something. */
function quoteWord(word: string): string {
  if (/[\0\n\r]/.test(word)) throw new Fault('invalid', 'a path with a line end has no place here')
  const literal = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  if (/^[\w./:@%$+,=-]+$/.test(literal)) return literal
  return `"${literal.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}
