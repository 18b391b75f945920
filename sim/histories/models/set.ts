// Sets by name: add, remove, contains, and the read of all elements. `elementModel` is the same without that
// read: every element is then judged alone, which is much narrower.

import type { Model } from '../model.ts'

export type SetInput =
  | {
      readonly kind: 'add' | 'remove' | 'contains'
      readonly set: string
      readonly element: string
    }
  | { readonly kind: 'read'; readonly set: string }

/** `wasIn`: whether the element was in the set; absent: it was not told. `elements`: of a read, any order. */
export type SetOutput = { readonly wasIn?: boolean; readonly elements?: readonly string[] }

/** In order, each once. */
type Elements = readonly string[]

export const setModel: Model<Elements, SetInput, SetOutput> = {
  name: 'set',
  initial: [],
  apply(state, input, output) {
    if (input.kind === 'read') {
      if (output === undefined) return state
      const read = [...(output.elements ?? [])].sort()
      return JSON.stringify(read) === JSON.stringify(state) ? state : undefined
    }
    const isIn = state.includes(input.element)
    if (output?.wasIn !== undefined && output.wasIn !== isIn) return undefined
    if (input.kind === 'contains' || isIn === (input.kind === 'add')) return state
    return isIn
      ? state.filter((element) => element !== input.element)
      : [...state, input.element].sort()
  },
  isPassive(input, output) {
    if (input.kind === 'read' || input.kind === 'contains') return true
    return output.wasIn === (input.kind === 'add')
  },
  stateKey: (state) => JSON.stringify(state),
  partition: (input) => input.set,
}

export const elementModel: typeof setModel = {
  ...setModel,
  name: 'set by element',
  partition(input) {
    return input.kind === 'read' ? undefined : JSON.stringify([input.set, input.element])
  },
}
