// What the Debian package does on the machine around its files: deb-postinst(5), deb-prerm(5), deb-postrm(5).

import { unitCacheDir, unitDataDir, unitName, unitUser } from '../../src/cli/systemd-unit.ts'

export const afterInstall = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if ! getent passwd ${unitUser} >/dev/null; then
    useradd --system --user-group --home-dir ${unitDataDir} --shell /usr/sbin/nologin ${unitUser}
  fi
  mkdir -p ${unitDataDir}
  chown ${unitUser}:${unitUser} ${unitDataDir}
  chmod 0700 ${unitDataDir}
  mkdir -p ${unitCacheDir}
  chown ${unitUser}:${unitUser} ${unitCacheDir}
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart ${unitName}
  fi
  [ -n "$2" ] || echo "atoll: start it with: systemctl enable --now atoll"
fi
`
export const beforeRemove = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now ${unitName} || true
fi
`
export const afterRemove = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
  rm -rf ${unitCacheDir}
fi
if [ "$1" = purge ] && [ -d ${unitDataDir} ]; then
  echo "atoll: the data in ${unitDataDir} was left where it is"
fi
`
