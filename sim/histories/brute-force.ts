// Linearizability by its definition, for tiny histories: tries every order of every choice of pending
// operations, remembers nothing, skips nothing. What check() is held against.

import type { History, Operation } from './history.ts'
import type { Known, Model } from './model.ts'

export function isLinearizableByForce<State extends Known, Input, Output>(
  history: History<Input, Output>,
  model: Model<State, Input, Output>,
): boolean {
  const isComplete = (left: readonly Operation<Input, Output>[]): boolean => {
    return left.every(({ output }) => output === undefined)
  }
  const goOn = (state: State, left: readonly Operation<Input, Output>[]): boolean => {
    if (isComplete(left)) return true
    return left.some((next) => {
      const others = left.filter((one) => one !== next)
      if (others.some(({ returnedAt }) => returnedAt < next.calledAt)) return false
      const after = model.apply(state, next.input, next.output)
      return after !== undefined && goOn(after, others)
    })
  }
  return goOn(model.initial, history)
}
