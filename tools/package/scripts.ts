// What the Debian package does on the machine around its files: deb-postinst(5), deb-prerm(5), deb-postrm(5).

import { serviceDataDir, serviceName, serviceUser } from '../../src/cli/service-unit.ts'

export const afterInstall = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if ! getent passwd ${serviceUser} >/dev/null; then
    useradd --system --user-group --home-dir ${serviceDataDir} --shell /usr/sbin/nologin ${serviceUser}
  fi
  mkdir -p ${serviceDataDir}
  chown ${serviceUser}:${serviceUser} ${serviceDataDir}
  chmod 0700 ${serviceDataDir}
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart ${serviceName}
  fi
  [ -n "$2" ] || echo "atoll: start it with: systemctl enable --now atoll"
fi
`
export const beforeRemove = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now ${serviceName} || true
fi
`
export const afterRemove = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
if [ "$1" = purge ] && [ -d ${serviceDataDir} ]; then
  echo "atoll: the data in ${serviceDataDir} was left where it is"
fi
`
