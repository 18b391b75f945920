// A loop in virtual time for tests of the driver: tasks run in order of their due time, then of their
// making; promises settle at the end of each task. Nothing waits for real time.

import { assert, seededRandom } from '../../base/index.ts'
import type { Disk, Host, Timer } from '../../host/index.ts'

type Task = { readonly dueMs: number; readonly number: number; run: () => void }

export class TestLoop {
  nowMs = 0
  #tasks: Task[] = []
  #number = 0

  after(ms: number, run: () => void): Timer {
    const task: Task = { dueMs: this.nowMs + ms, number: this.#number++, run }
    this.#tasks.push(task)
    return {
      cancel: () => {
        task.run = () => {}
      },
    }
  }

  every(ms: number, run: () => void): Timer {
    let isCancelled = false
    const repeat = (): void => {
      if (isCancelled) return
      run()
      timer = this.after(ms, repeat)
    }
    let timer = this.after(ms, repeat)
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }

  /** Runs until `isDone` holds; fails after `limitMs` of virtual time. */
  async until(isDone: () => boolean, limitMs = 20_000): Promise<void> {
    const endMs = this.nowMs + limitMs
    await settled()
    while (!isDone()) {
      assert(this.nowMs < endMs, `within ${limitMs} ms: ${isDone.toString()}`)
      await this.#step()
    }
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    await this.until(() => this.nowMs >= endMs, ms + 1_000)
  }

  /** Runs the loop until the promise settles. */
  async result<T>(promise: Promise<T>, limitMs = 20_000): Promise<T> {
    let isSettled = false
    const watched = promise.finally(() => {
      isSettled = true
    })
    watched.catch(() => {})
    await this.until(() => isSettled, limitMs)
    return watched
  }

  async #step(): Promise<void> {
    let first = 0
    for (let i = 1; i < this.#tasks.length; i++) {
      if (isBefore(this.#tasks[i] as Task, this.#tasks[first] as Task)) first = i
    }
    const [task] = this.#tasks.splice(first, 1)
    assert(task !== undefined, 'the loop has something to run')
    this.nowMs = Math.max(this.nowMs, task.dueMs)
    task.run()
    await settled()
  }
}

/** A host of which only the clock, the generator, the journal and the disk exist. */
export function testHost(loop: TestLoop, seed: number, disk: Disk): Host {
  const clock: Host['clock'] = {
    wallMs: () => loop.nowMs,
    monotonicMs: () => loop.nowMs,
    sleep: (ms) => new Promise((resolve) => loop.after(ms, resolve)),
    after: (ms, run) => loop.after(ms, run),
    every: (ms, run) => loop.every(ms, run),
    soon: (run) => {
      loop.after(0, run)
    },
  }
  const journal: Host['journal'] = {
    event: () => {},
    fatal: (event, error) => {
      throw new Error(`${event}: ${String(error)}`)
    },
  }
  return { clock, random: seededRandom(seed), journal, disk } as unknown as Host
}

function isBefore(a: Task, b: Task): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number)
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
