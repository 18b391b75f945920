// Plays files of sqllogictest through the HTTP API of a cluster: each in a database of its own, statements at one node after
// the other, queries linearizable at whichever; in the end all replicas must have one digest.

import { request } from 'node:http'
import { differenceOf, parseScript, render, type Step, type Value } from './script.ts'

export type Served = {
  /** 'http://127.0.0.1:4001', one for each node. */
  readonly urls: readonly string[]
  readonly user: string
  readonly password: string
}

export type Played = {
  readonly statements: number
  readonly queries: number
  /** Where something was otherwise than the file says. */
  readonly failures: readonly string[]
  /** Entry and digest, of all nodes alike. */
  readonly digest: string
}

type Result = { readonly error?: string; readonly values?: readonly (readonly Value[])[] }
type Answered = { readonly status: number; readonly text: string }

const stepsAtOnce = 64
const bytesAtOnce = 100_000
const failuresMax = 20
const waitMsMax = 60_000

export async function playScript(served: Served, name: string, text: string): Promise<Played> {
  const steps = parseScript(text)
  const player = new Player(served, name)
  await player.must(0, `PUT /sql/${name}`)
  const failures: string[] = []
  for (let at = 0, round = 0; at < steps.length && failures.length < failuresMax; round++) {
    const group = nextGroup(steps, at)
    at += group.length
    for (const failure of await player.play(group, round % served.urls.length)) {
      failures.push(`${name}:${failure}`)
    }
  }
  const queries = steps.filter(({ kind }) => kind === 'query').length
  const digest = await player.digest()
  return { statements: steps.length - queries, queries, failures, digest }
}

/** Of one kind, as one request takes them. */
function nextGroup(steps: readonly Step[], from: number): readonly Step[] {
  const group: Step[] = []
  let bytes = 0
  for (let at = from; at < steps.length && group.length < stepsAtOnce; at++) {
    const step = steps[at]
    if (step === undefined || (group[0] ?? step).kind !== step.kind) break
    if (group.length > 0 && bytes + step.sql.length > bytesAtOnce) break
    group.push(step)
    bytes += step.sql.length
  }
  return group
}

class Player {
  readonly #served: Served
  readonly #name: string
  readonly #temporary = new Set<string>()

  constructor(served: Served, name: string) {
    this.#served = served
    this.#name = name
  }

  async play(steps: readonly Step[], node: number): Promise<readonly string[]> {
    const isQuery = steps[0]?.kind === 'query'
    const path = isQuery ? 'query?level=linearizable' : 'execute'
    const line = `POST /sql/${this.#name}/db/${path}`
    const { results } = await this.must(
      node,
      line,
      steps.map(({ sql }) => sql),
    )
    return steps.flatMap((step, at) => {
      const failure = failureOf(step, (results as readonly Result[])[at])
      if (failure === undefined || this.#isOnPurpose(step, failure)) return []
      return [`${step.line}: ${failure}`]
    })
  }

  /** Temporary objects are of one connection, and refused; who speaks of them afterwards finds none. */
  #isOnPurpose({ sql }: Step, failure: string): boolean {
    if (/^temporary objects belong to a connection/.test(failure)) {
      const [, name = ''] = /\b(?:table|view|trigger)\s+(\w+)/i.exec(sql) ?? []
      this.#temporary.add(name)
      return true
    }
    const [, missing = ''] = /^no such (?:table|view|trigger): (\w+)$/.exec(failure) ?? []
    return this.#temporary.has(missing)
  }

  async digest(): Promise<string> {
    const endMs = Date.now() + waitMsMax
    for (;;) {
      const { replicas } = await this.must(0, `GET /sql/${this.#name}/replicas`)
      const all = (replicas as readonly { applied?: number; digest?: string }[]).map(
        ({ applied, digest }) => (digest === undefined ? '' : `${applied} ${digest}`),
      )
      if (all.length === this.#served.urls.length && all[0] !== '' && new Set(all).size === 1) {
        return all[0] ?? ''
      }
      if (Date.now() > endMs) throw new Error(`${this.#name}: replicas differ: ${all.join(', ')}`)
    }
  }

  async must(node: number, line: string, body?: unknown): Promise<Record<string, unknown>> {
    const { status, text } = await this.#ask(node, line, body)
    if (status !== 200) throw new Error(`${line} answered ${status}: ${text.slice(0, 500)}`)
    return parseExactly(text)
  }

  #ask(node: number, line: string, body: unknown): Promise<Answered> {
    const [method, path] = line.split(' ')
    const { urls, user, password } = this.#served
    return new Promise((resolve, reject) => {
      const auth = `${user}:${password}`
      const asked = request(`${urls[node]}${path}`, { method, auth }, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() })
        })
      })
      asked.on('error', reject)
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

function failureOf(step: Step, result: Result | undefined): string | undefined {
  if (result === undefined) return 'no answer'
  if (step.kind === 'statement') {
    if (step.isError) return result.error === undefined ? 'no error' : undefined
    return result.error
  }
  // Where the files tell that an error is meant, they expect nothing.
  if (result.error === 'integer overflow' && step.expected.length === 0) return undefined
  if (result.error !== undefined) return result.error
  return differenceOf(render(result.values ?? [], step), step.expected)
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/** Whole numbers with all their digits, as bigints; what has a point stays a number. */
function parseExactly(text: string): Record<string, unknown> {
  const parse = JSON.parse as (text: string, reviver: Reviver) => Record<string, unknown>
  return parse(text, (_key, value, { source = '' }) =>
    typeof value === 'number' && /^-?\d+$/.test(source) ? BigInt(source) : value,
  )
}
