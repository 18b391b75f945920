// `atoll admin`: the group that commands of several files belong to.

import type { Command } from 'commander'

/** Made by whoever asks first. */
export function adminGroup(program: Command): Command {
  const known = program.commands.find((command) => command.name() === 'admin')
  return (
    known ??
    program
      .command('admin')
      .description('Clusters of several machines: found one, join it, see and decide who is in it.')
  )
}
