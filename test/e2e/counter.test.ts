// examples/counter.ts as its reader runs it: three processes found a cluster, count together, lose their
// leader to kill -9, read and count on, and take the killed one back.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { root } from './cluster.ts'

const firstPort = 27_341
const key = 'the key of a test, longer than thirty-two bytes'
const patienceMs = 60_000
let directory: string
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'atoll-counter-'))
})
after(() => rmSync(directory, { recursive: true, force: true }))

/** One process; its answers come in the order of the lines it was given. */
class Counter {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  #told = ''

  constructor(number: number) {
    const addresses = [0, 1, 2].map((other) => `127.0.0.1:${firstPort + other}`)
    const own = addresses[number] ?? ''
    const others = addresses.filter((address) => address !== own)
    const args = [
      join(root, 'examples/counter.ts'),
      join(directory, String(number)),
      own,
      ...others,
    ]
    const env = { ...process.env, COUNTER_KEY: key }
    this.#child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    const { stdout, stderr } = this.#child
    assert.ok(stdout !== null && stderr !== null)
    stderr.on('data', (chunk) => {
      this.#told += chunk
    })
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]()
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`)
    const { value, done } = await this.#answers.next()
    assert.ok(done !== true, `the process ended: ${this.#told}`)
    return value
  }

  /** Asks until the answer is one; what may have happened is never asked again. */
  async until(line: string, fits: (answer: string) => boolean): Promise<string> {
    const endMs = Date.now() + patienceMs
    for (;;) {
      const answer = await this.ask(line)
      if (fits(answer)) return answer
      assert.ok(Date.now() < endMs, `${line}: ${answer}`)
      assert.doesNotMatch(answer, /\(unknown\)/)
    }
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  async quit(): Promise<number | null> {
    const ended = new Promise<number | null>((resolve) => this.#child.once('close', resolve))
    this.#child.stdin?.write('quit\n')
    return await ended
  }
}

const isNumber = (answer: string): boolean => /^\d+$/.test(answer)

test('three processes count, lose their leader, and count on', async () => {
  const counters = [0, 1, 2].map((number) => new Counter(number))
  const at = (number: number): Counter => counters[number] as Counter
  try {
    await at(0).until('add 5', isNumber)
    await at(1).until('add 7', isNumber)
    await at(2).until('get', (answer) => answer === '12')
    const [leader] = (await at(0).until('leader', (answer) => /^\d+, this/.test(answer))).split(',')
    const leads = await Promise.all(
      counters.map(async (counter) => {
        const answer = await counter.until('leader', (told) => /^\d+, this/.test(told))
        return answer === `${leader}, this is ${leader}`
      }),
    )
    const killed = leads.indexOf(true)
    assert.notEqual(killed, -1)
    await at(killed).kill()
    const others = [0, 1, 2].filter((number) => number !== killed)
    for (const number of others) await at(number).until('get', (answer) => answer === '12')
    await at(others[0] ?? 0).until('add 1', isNumber)
    counters[killed] = new Counter(killed)
    for (const counter of counters) await counter.until('get', (answer) => answer === '13')
    for (const counter of counters) assert.equal(await counter.quit(), 0)
  } finally {
    for (const counter of counters) await counter.kill()
  }
})
