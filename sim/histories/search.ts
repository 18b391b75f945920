// Is there an order of these operations that respects time and the model? Wing and Gong's search ("Testing
// and verifying concurrent objects", 1993) with Lowe's memory and linked lists (2017): of the operations
// called before the first return one comes next; a configuration that was searched is not searched again;
// stuck at a return, the last choice is undone.
//
// Three shortcuts keep histories with many unknown outcomes narrow; none changes a verdict:
// - A passive operation (a read) that fits goes first, without alternative: any order that has it later may
//   as well have it here. It must be passive in every state: a write of what is there already may be needed
//   later, to undo another write.
// - A pending operation need never take effect, so it is tried last, and only if it changes the state.
// - Of pending operations with equal inputs the one that was called first goes first.

import { Configurations } from './configurations.ts'
import { Events } from './events.ts'
import type { History, Operation } from './history.ts'
import type { Known, Model } from './model.ts'

export type SearchLimits = {
  /** Applications of an operation to a state. */
  readonly stepsMax: number
  /** Of the memory of configurations, roughly. */
  readonly memoryBytesMax: number
  /** Asked every 1,024 steps: true ends the search. */
  readonly isExpired: () => boolean
}

/** The first return that no order gets past, after the longest order that got there. */
export type DeadEnd<State, Input, Output> = {
  readonly blocked: Operation<Input, Output>
  readonly order: readonly Operation<Input, Output>[]
  /** After `order`. */
  readonly state: State
  /** Called before the return, not in `order`, `blocked` left out. */
  readonly open: readonly Operation<Input, Output>[]
}

export type SearchResult<State, Input, Output> = { readonly steps: number } & (
  | { readonly kind: 'ok' }
  | { readonly kind: 'violated'; readonly deadEnd: DeadEnd<State, Input, Output> }
  | { readonly kind: 'unknown'; readonly reason: 'steps' | 'memory' | 'time' }
)

/** A choice: an operation that took effect, and the state before it. */
type Choice<State> = {
  readonly state: State
  readonly stateNumber: number
  /** In Events.done, or in Events.pending when isPending. */
  readonly number: number
  readonly isPending: boolean
  /** Nothing else is tried in its place. */
  readonly isForced: boolean
  /** Where to go on when it is undone: the event of its call; of a pending one the return in the way. */
  readonly event: number
}

const expiryEvery = 1_024

/** One partition. A search is run once. */
export class Search<State extends Known, Input, Output> {
  readonly #model: Model<State, Input, Output>
  readonly #limits: SearchLimits
  readonly #events: Events<Input, Output>
  readonly #configurations: Configurations<State>
  readonly #choices: Choice<State>[] = []
  /** Of a pending operation: the one before it with the same input; -1: none. */
  readonly #twinBefore: Int32Array
  #state: State
  #stateNumber: number
  #steps = 0
  #left: number
  #isLate = false
  #farthest = 0
  #deadEnd: DeadEnd<State, Input, Output> | undefined

  constructor(
    history: History<Input, Output>,
    model: Model<State, Input, Output>,
    limits: SearchLimits,
  ) {
    this.#model = model
    this.#limits = limits
    this.#events = new Events(history)
    const { done, pending } = this.#events
    this.#configurations = new Configurations<State>(
      { done: done.length, pending: pending.length },
      { stateKey: model.stateKey, memoryBytesMax: limits.memoryBytesMax },
    )
    this.#twinBefore = twinsOf(pending)
    this.#left = done.length
    this.#state = model.initial
    this.#stateNumber = this.#configurations.stateNumber(model.initial)
  }

  run(): SearchResult<State, Input, Output> {
    let isGoingOn = this.#arrive()
    while (this.#left > 0) {
      const reason = this.#exhausted()
      if (reason !== undefined) return { kind: 'unknown', reason, steps: this.#steps }
      isGoingOn = isGoingOn ? this.#arrive() : this.#backtrack()
      if (!isGoingOn && this.#choices.length === 0) return this.#violated()
    }
    return { kind: 'ok', steps: this.#steps }
  }

  #violated(): SearchResult<State, Input, Output> {
    const deadEnd = this.#deadEnd as DeadEnd<State, Input, Output>
    return { kind: 'violated', deadEnd, steps: this.#steps }
  }

  #exhausted(): 'steps' | 'memory' | 'time' | undefined {
    if (this.#steps > this.#limits.stepsMax) return 'steps'
    return this.#configurations.isFull ? 'memory' : this.#isLate ? 'time' : undefined
  }

  #apply({ input, output }: Operation<Input, Output>): State | undefined {
    if (this.#steps++ % expiryEvery === 0 && this.#limits.isExpired()) this.#isLate = true
    return this.#model.apply(this.#state, input, output)
  }

  #isPassive({ input, output }: Operation<Input, Output>): boolean {
    return output !== undefined && this.#model.isPassive(input, output)
  }

  /** At a new configuration: takes everything that is forced, then the first choice. False: none. */
  #arrive(): boolean {
    while (this.#takeForced());
    if (this.#left === 0) return true
    if (!this.#configurations.enter(this.#stateNumber)) return false
    return this.#chooseFrom(this.#events.next[0] as number)
  }

  #takeForced(): boolean {
    const { next, isCall, operationOf, done } = this.#events
    let event = next[0] as number
    let hasTaken = false
    while (isCall[event] === 1) {
      const number = operationOf[event] as number
      const after = next[event] as number
      const operation = done[number] as Operation<Input, Output>
      if (this.#isPassive(operation) && this.#apply(operation) !== undefined) {
        const choice = { number, isPending: false, isForced: true, event }
        this.#take(choice, this.#state, this.#stateNumber)
        hasTaken = true
      }
      event = after
    }
    return hasTaken
  }

  /** The first operation that fits, from this event on, pending ones last. */
  #chooseFrom(from: number): boolean {
    const { next, isCall, operationOf, done } = this.#events
    let event = from
    while (isCall[event] === 1) {
      const number = operationOf[event] as number
      const state = this.#apply(done[number] as Operation<Input, Output>)
      if (state !== undefined) {
        const stateNumber = this.#configurations.stateNumber(state)
        this.#take({ number, isPending: false, isForced: false, event }, state, stateNumber)
        return true
      }
      event = next[event] as number
    }
    return this.#choosePending(0, event)
  }

  /** `blocked` is the return in the way: whatever was called before it may come first. */
  #choosePending(from: number, blocked: number): boolean {
    const { pending, pendingBefore } = this.#events
    for (let number = from; number < pending.length; number++) {
      if ((pendingBefore[number] as number) > blocked) break
      if (!this.#mayTakePending(number)) continue
      const state = this.#apply(pending[number] as Operation<Input, Output>)
      if (state === undefined) continue
      const stateNumber = this.#configurations.stateNumber(state)
      if (stateNumber === this.#stateNumber) continue
      this.#take({ number, isPending: true, isForced: false, event: blocked }, state, stateNumber)
      return true
    }
    if (blocked > this.#farthest) this.#rememberDeadEnd(blocked)
    return false
  }

  #mayTakePending(number: number): boolean {
    if (this.#configurations.isPendingDone(number)) return false
    const twin = this.#twinBefore[number] as number
    return twin < 0 || this.#configurations.isPendingDone(twin)
  }

  #take(
    choice: Pick<Choice<State>, 'number' | 'isPending' | 'isForced' | 'event'>,
    state: State,
    stateNumber: number,
  ): void {
    this.#choices.push({ ...choice, state: this.#state, stateNumber: this.#stateNumber })
    this.#state = state
    this.#stateNumber = stateNumber
    if (choice.isPending) this.#configurations.setPending(choice.number, true)
    else {
      this.#configurations.setDone(choice.number, true)
      this.#events.lift(choice.number)
      this.#left--
    }
  }

  /** Undoes choices until there is another one in the place of the last. False: one level is undone. */
  #backtrack(): boolean {
    const choice = this.#choices.pop()
    if (choice === undefined) return false
    this.#state = choice.state
    this.#stateNumber = choice.stateNumber
    if (choice.isPending) {
      this.#configurations.setPending(choice.number, false)
      return this.#choosePending(choice.number + 1, choice.event)
    }
    this.#configurations.setDone(choice.number, false)
    this.#events.putBack(choice.number)
    this.#left++
    return choice.isForced ? false : this.#chooseFrom(this.#events.next[choice.event] as number)
  }

  #rememberDeadEnd(blocked: number): void {
    const { done, pending, operationOf } = this.#events
    this.#farthest = blocked
    const order = this.#choices.map(({ number, isPending }) => {
      return (isPending ? pending : done)[number] as Operation<Input, Output>
    })
    const taken = new Set(order)
    const last = done[operationOf[blocked] as number] as Operation<Input, Output>
    const open = [...done, ...pending].filter((one) => {
      return one !== last && one.calledAt <= last.returnedAt && !taken.has(one)
    })
    this.#deadEnd = { blocked: last, order, state: this.#state, open }
  }
}

function twinsOf<Input, Output>(pending: readonly Operation<Input, Output>[]): Int32Array {
  const last = new Map<string, number>()
  return Int32Array.from(pending, ({ input }, number) => {
    const key = JSON.stringify(input)
    const before = last.get(key) ?? -1
    last.set(key, number)
    return before
  })
}
