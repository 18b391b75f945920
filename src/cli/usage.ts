// How commands are used wrongly, and where a group of commands shows how they are used.

import type { Command } from 'commander'

/** What commander refuses, in the form of every other failure of the command. */
export function tellUsage(text: string, write: (text: string) => void): void {
  const what = text.replace(/^error: /, '').trimEnd()
  write(`atoll: ${what}\n  next: the same with --help shows what there is, with examples\n`)
}

/** A group has no example of its own: its help names the help that has. */
export function addGroupExamples(command: Command, path: string): void {
  for (const child of command.commands) {
    const place = `${path} ${child.name()}`
    addGroupExamples(child, place)
    const [first] = child.commands
    if (first === undefined) continue
    child.addHelpText(
      'after',
      `\nExamples are in the help of each command: ${place} ${first.name()} --help\n`,
    )
  }
}
