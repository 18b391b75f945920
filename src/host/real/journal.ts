// What a node says about itself, as lines for people or as JSON, on standard error (standard output
// belongs to the command's answer). A line is one event; control characters inside fields are escaped,
// so that nothing a peer or client sends can forge a line. For systemd's journal, which knows the time, a line
// begins with its priority (sd-daemon(3)).

import type { Journal, JournalFields } from '../host.ts'

export type JournalLevel = 'debug' | 'notice' | 'warning' | 'error'

export type JournalFormat = 'text' | 'json' | 'journal'

export type JournalOptions = {
  readonly format: JournalFormat
  /** Events below this level are not written. */
  readonly level: JournalLevel
  /** Receives whole lines without their line end. Default: standard error. */
  readonly write?: (line: string) => void
  /** Who speaks, for example 'node 2'; leads every line. */
  readonly name?: string
}

/** Receives what fatal() was told; may not return. */
export type FatalEnd = (event: string, error: unknown) => never

const ranks: Readonly<Record<JournalLevel, number>> = { debug: 0, notice: 1, warning: 2, error: 3 }

export function createJournal(options: JournalOptions, end: FatalEnd): Journal {
  const rankMin = ranks[options.level]
  const write = options.write ?? writeToStandardError
  const line = { text: textLine, json: jsonLine, journal: priorityLine }[options.format]
  return {
    event(level, event, fields = {}) {
      if (ranks[level] >= rankMin) write(line({ level, event, fields, name: options.name }))
    },
    fatal(event, error) {
      write(line({ level: 'error', event, fields: errorFields(error), name: options.name }))
      return end(event, error)
    },
  }
}

type Line = {
  readonly level: JournalLevel
  readonly event: string
  readonly fields: JournalFields
  readonly name: string | undefined
}

/** One line on standard error. */
export function writeToStandardError(line: string): void {
  process.stderr.write(`${line}\n`)
}

function textLine(line: Line): string {
  return `${new Date().toISOString().slice(11, 23)} ${timelessLine(line)}`
}

/** syslog(3). */
const priorities: Readonly<Record<JournalLevel, number>> = {
  debug: 7,
  notice: 5,
  warning: 4,
  error: 3,
}

function priorityLine(line: Line): string {
  return `<${priorities[line.level]}>${timelessLine(line)}`
}

function timelessLine({ level, event, fields, name }: Line): string {
  let text = `${name === undefined ? '' : `${name} `}${level} ${event}`
  for (const [key, value] of Object.entries(fields)) text += ` ${key}=${textValue(value)}`
  return text
}

function textValue(value: string | number | boolean): string {
  const text = String(value)
  return /^[\w.:/@+,%-]+$/.test(text) ? text : JSON.stringify(text)
}

function jsonLine({ level, event, fields, name }: Line): string {
  const who = name === undefined ? {} : { name }
  return JSON.stringify({ time: new Date().toISOString(), level, event, ...who, fields })
}

/** Message, stack and cause of an error, as fields. */
export function errorFields(error: unknown): JournalFields {
  if (!(error instanceof Error)) return { error: String(error) }
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {}
  return { error: error.message, ...cause, stack: error.stack ?? '' }
}
