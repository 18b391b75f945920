// Published logs of histories, by their content:
//
//   INFO  jepsen.util - 2  :invoke  :cas  [3 0]                  one register (Jepsen's etcd test)
//   {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}     strings by key (porcupine)
//
// A line is an event; its number is its time. A client has one operation at a time; after :info (unknown
// outcome) the next operation under its number is another client's. Lines of neither form fail the file:
// what is not understood is not judged.

import { Fault } from '../../src/base/index.ts'
import { type CheckLimits, check, formatViolation, type Verdict } from './check.ts'
import { type History, HistoryRecorder, type OpenCall } from './history.ts'
import type { Known, Model } from './model.ts'
import {
  type RegisterInput,
  type RegisterOutput,
  type RegisterValue,
  registerModel,
} from './models/register.ts'
import { type TextMapInput, type TextMapOutput, textMapModel } from './models/text-map.ts'

export type LogVerdict = {
  readonly kind: 'ok' | 'violated' | 'unknown'
  readonly model: string
  readonly operations: number
  /** Why not ok. */
  readonly explanation: string | undefined
}

/** Lines of a log at most. */
const linesMax = 2_000_000

/** Fault 'invalid' with the line when it is in none of the known forms. */
export function judgeLog(log: string, limits: CheckLimits = {}): LogVerdict {
  const lines = log.split('\n')
  if (lines.length > linesMax) throw new Fault('too-large', `more than ${linesMax} lines`)
  const first = lines.find((line) => line.trim() !== '') ?? ''
  if (registerLine.test(first)) return judge(readRegisterLog(lines), registerModel, limits)
  if (textMapLine.test(first)) return judge(readTextMapLog(lines), textMapModel, limits)
  throw new Fault('invalid', 'the log is of no known form')
}

function judge<State extends Known, Input, Output>(
  history: History<Input, Output>,
  model: Model<State, Input, Output>,
  limits: CheckLimits,
): LogVerdict {
  const verdict = check(history, model, limits)
  const { kind, operations } = verdict
  return { kind, model: model.name, operations, explanation: explain(verdict, model) }
}

function explain<State extends Known, Input, Output>(
  verdict: Verdict<State, Input, Output>,
  model: Model<State, Input, Output>,
): string | undefined {
  if (verdict.kind === 'ok') return undefined
  if (verdict.kind === 'violated') return formatViolation(verdict, model)
  return `reached its limit of ${verdict.reason}`
}

// ---- events of clients ----

/** Pairs the events of a log's clients. */
class LogReader<Input, Output> {
  readonly #recorder = new HistoryRecorder<Input, Output>()
  readonly #open = new Map<number, OpenCall<Input>>()

  invoke(client: number, input: Input): void {
    if (this.#open.has(client)) throw new Fault('invalid', `client ${client} calls twice`)
    this.#open.set(client, this.#recorder.called(client, input))
  }

  /** Of the client's open operation; the caller says afterwards how it ended. */
  end(client: number): OpenCall<Input> {
    const call = this.#open.get(client)
    if (call === undefined) throw new Fault('invalid', `client ${client} returns without a call`)
    this.#open.delete(client)
    return call
  }

  get recorder(): HistoryRecorder<Input, Output> {
    return this.#recorder
  }
}

function eachLine(lines: readonly string[], read: (line: string) => void): void {
  lines.forEach((line, at) => {
    if (line.trim() === '') return
    try {
      read(line)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      throw new Fault('invalid', `line ${at + 1}: ${error.message}`)
    }
  })
}

// ---- one register ----

const registerLine =
  /^INFO\s+jepsen\.util\s+-\s+(\d{1,9})\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(\S[^\r]*?)\s*$/
const oneRegister = 'register'

function readRegisterLog(lines: readonly string[]): History<RegisterInput, RegisterOutput> {
  const reader = new LogReader<RegisterInput, RegisterOutput>()
  eachLine(lines, (line) => {
    const [, client, type, name, operand] = registerLine.exec(line) ?? []
    if (client === undefined) throw new Fault('invalid', 'no event of a register')
    if (type === 'invoke') reader.invoke(Number(client), registerInput(name, operand))
    else endRegister(reader, Number(client), { type, operand })
  })
  return reader.recorder.history()
}

function registerInput(name: string | undefined, operand = ''): RegisterInput {
  if (name === 'read') return { kind: 'read', key: oneRegister }
  if (name === 'write') return { kind: 'write', key: oneRegister, value: registerValue(operand) }
  const [, expected = '', value = ''] = /^\[(\S+) (\S+)\]$/.exec(operand) ?? []
  const values = { expected: registerValue(expected), value: registerValue(value) }
  return { kind: 'compare-and-set', key: oneRegister, ...values }
}

function registerValue(text: string): RegisterValue {
  if (text === 'nil') return null
  if (!/^-?\d{1,15}$/.test(text)) throw new Fault('invalid', `${text} is no value`)
  return text
}

function endRegister(
  reader: LogReader<RegisterInput, RegisterOutput>,
  client: number,
  {
    type,
    operand = '',
  }: { readonly type: string | undefined; readonly operand?: string | undefined },
): void {
  const call = reader.end(client)
  const { kind } = call.input
  const { recorder } = reader
  const isTimedOut = operand === ':timed-out'
  if (type === 'ok') recorder.returned(call, registerOutput(kind, operand))
  else if (type === 'info') recorder.lost(call)
  else if (kind === 'read') recorder.refused(call)
  // A compare that failed tells the value; one that timed out tells nothing, whatever it is called.
  else if (isTimedOut) recorder.lost(call)
  else if (kind === 'write') recorder.refused(call)
  else recorder.returned(call, { kind, isDone: false })
}

function registerOutput(kind: RegisterInput['kind'], operand: string): RegisterOutput {
  if (kind === 'read') return { kind, value: registerValue(operand) }
  return kind === 'write' ? { kind } : { kind, isDone: true }
}

// ---- strings by key ----

const textMapLine =
  /^\{:process (\d{1,9}), :type :(invoke|ok|fail|info), :f :(get|put|append), :key "([^"]*)", :value (nil|"[^"]*")\}\s*$/

function readTextMapLog(lines: readonly string[]): History<TextMapInput, TextMapOutput> {
  const reader = new LogReader<TextMapInput, TextMapOutput>()
  eachLine(lines, (line) => {
    const [, client, type, name, key = '', quoted = ''] = textMapLine.exec(line) ?? []
    if (client === undefined) throw new Fault('invalid', 'no event of a key')
    const value = quoted === 'nil' ? '' : quoted.slice(1, -1)
    if (type === 'invoke') return reader.invoke(Number(client), textMapInput(name, key, value))
    const call = reader.end(Number(client))
    if (call.input.key !== key) throw new Fault('invalid', 'the answer is of another key')
    const { recorder } = reader
    if (type === 'ok') recorder.returned(call, call.input.kind === 'get' ? { value } : {})
    else if (type === 'info') recorder.lost(call)
    else recorder.refused(call)
  })
  return reader.recorder.history()
}

function textMapInput(name: string | undefined, key: string, value: string): TextMapInput {
  if (name === 'get') return { kind: 'get', key }
  return { kind: name === 'put' ? 'put' : 'append', key, value }
}
