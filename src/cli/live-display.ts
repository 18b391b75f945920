// What people see while a command waits for machines: on a terminal the lines are written over one another, elsewhere
// a line is added when something has changed. Everything goes to standard error.

const clearLine = '\u001b[2K'
const up = (lines: number): string => `\u001b[${lines}A`

export type LiveDisplay = {
  /** The lines as they are now. */
  show(lines: readonly string[]): void
  /** What was shown last stays; the next thing told comes below. */
  end(): void
}

export function openDisplay(output: NodeJS.WriteStream = process.stderr): LiveDisplay {
  let shown: readonly string[] = []
  return {
    show(lines) {
      if (lines.join('\n') === shown.join('\n')) return
      if (output.isTTY === true) {
        const blanks = Array.from({ length: Math.max(0, shown.length - lines.length) }, () => '')
        const text = [...lines, ...blanks].map((line) => `\r${clearLine}${line}\n`).join('')
        output.write(
          `${shown.length === 0 ? '' : up(shown.length)}${text}${up(blanks.length).repeat(Math.sign(blanks.length))}`,
        )
      } else {
        const known = new Set(shown)
        for (const line of lines) if (!known.has(line)) output.write(`${line}\n`)
      }
      shown = lines
    },
    end() {
      shown = []
    },
  }
}
