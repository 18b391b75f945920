// A shell's session with one node: a stream of Hrana over the admin API, one request at a time.

import * as v from 'valibot'
import { Fault } from '../base/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import type { KnownNode } from './known-nodes.ts'

const askMs = 60_000

const value = v.variant('type', [
  v.object({ type: v.literal('null') }),
  v.object({ type: v.literal('integer'), value: v.string() }),
  // JSON has no infinities: they come as null.
  v.object({ type: v.literal('float'), value: v.nullable(v.number()) }),
  v.object({ type: v.literal('text'), value: v.string() }),
  v.object({ type: v.literal('blob'), base64: v.string() }),
])
const result = v.object({
  cols: v.array(v.object({ name: v.nullish(v.string(), '') })),
  rows: v.array(v.array(value)),
  affected_row_count: v.number(),
  query_duration_ms: v.number(),
})
const outcome = v.variant('type', [
  v.object({
    type: v.literal('ok'),
    response: v.object({ result: v.optional(result), is_autocommit: v.optional(v.boolean()) }),
  }),
  v.object({ type: v.literal('error'), error: v.object({ message: v.string() }) }),
])
const pipeline = v.object({ baton: v.nullable(v.string()), results: v.array(outcome) })

export type ShownValue = v.InferOutput<typeof value>
export type ShownResult = v.InferOutput<typeof result>
export type SentValue = ShownValue

export class SqlStream {
  readonly #nodes: readonly KnownNode[]
  readonly #path: string
  /** Where the stream is, once it has begun. */
  #node: KnownNode | undefined
  #baton: string | null = null
  #isAutocommit = true

  constructor(nodes: readonly KnownNode[], name: string) {
    this.#nodes = nodes
    this.#path = `/sql/${encodeURIComponent(name)}/v3/pipeline`
  }

  get isAutocommit(): boolean {
    return this.#isAutocommit
  }

  /**
   * Fault 'invalid' with the words of SQLite for a statement that failed; others as of askAdmin. A stream that its node has
   * forgotten is begun anew, unless a transaction was open in it.
   */
  async run(sql: string, args: readonly SentValue[] = []): Promise<ShownResult> {
    const requests = [{ type: 'execute', stmt: { sql, args } }, { type: 'get_autocommit' }]
    const [executed, state] = await this.#ask(requests)
    const wasOpen = !this.#isAutocommit
    if (state?.type === 'ok') this.#isAutocommit = state.response.is_autocommit ?? true
    if (executed?.type === 'error') {
      const next =
        wasOpen && this.#isAutocommit ? { next: 'the transaction is gone: BEGIN again' } : {}
      throw new Fault('invalid', executed.error.message, next)
    }
    if (executed?.response.result !== undefined) return executed.response.result
    throw new Fault('internal', 'the node answered a statement without a result')
  }

  /** What is open is rolled back. */
  async close(): Promise<void> {
    if (this.#baton === null) return
    await this.#ask([{ type: 'close' }])
  }

  async #ask(requests: readonly unknown[]) {
    const ask = (node: KnownNode, baton: string | null): Promise<unknown> => {
      const body = { baton, requests }
      return askAdmin(node.endpoint, { method: 'POST', path: this.#path, body, timeoutMs: askMs })
    }
    const begin = (): Promise<unknown> =>
      askFirst(this.#nodes, async (node) => {
        const answered = await ask(node, null)
        this.#node = node
        return answered
      })
    const node = this.#node
    const baton = this.#baton
    this.#baton = null
    const isFree = this.#isAutocommit
    // Until the answer says otherwise.
    this.#isAutocommit = true
    const answered =
      node === undefined || baton === null
        ? begin()
        : ask(node, baton).catch((error: unknown) => {
            const isForgotten = error instanceof Fault && error.outcome === 'failed'
            if (!isFree || !isForgotten) throw error
            return begin()
          })
    const { baton: next, results } = v.parse(pipeline, await answered)
    this.#baton = next
    this.#isAutocommit = isFree
    return results
  }
}
