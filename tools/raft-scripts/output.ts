// What a command prints: text, and the core's free logging from a level on. At level NONE nothing at all.

const levels = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL', 'NONE']

export class Output {
  #text = ''
  #level = 0

  get level(): number {
    return this.#level
  }

  set level(level: number) {
    this.#level = level
  }

  get isQuiet(): boolean {
    return this.#level === levels.length - 1
  }

  /** False when there is no such level. */
  setLevelByName(name: string): boolean {
    const level = levels.indexOf(name.toUpperCase())
    if (level >= 0) this.#level = level
    return level >= 0
  }

  write(text: string): void {
    if (!this.isQuiet) this.#text += text
  }

  /** A line of the core, which begins with its level. */
  trace(line: string): void {
    const level = levels.indexOf(line.slice(0, line.indexOf(' ')))
    if (this.#level <= level) this.write(`${line}\n`)
  }

  /** What `print` writes, indented by two spaces. */
  indented(print: () => void): void {
    const before = this.#text
    this.#text = ''
    print()
    const lines = this.#text.split('\n')
    if (lines.at(-1) === '') lines.pop()
    this.#text = before + lines.map((line) => `  ${line}\n`).join('')
  }

  take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }
}
