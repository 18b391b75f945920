// Lists by key: append an element, read them all.

import type { Model } from '../model.ts'

export type ListInput =
  | { readonly kind: 'append'; readonly key: string; readonly element: string }
  | { readonly kind: 'read'; readonly key: string }

/** Of a read: the elements. Of an append: how many there are then, where the list tells. */
export type ListOutput = { readonly elements?: readonly string[]; readonly length?: number }

type List = readonly string[]

export const listModel: Model<List, ListInput, ListOutput> = {
  name: 'list',
  initial: [],
  apply(state, input, output) {
    if (input.kind === 'append') {
      const length = state.length + 1
      return (output?.length ?? length) === length ? [...state, input.element] : undefined
    }
    if (output === undefined) return state
    return isEqual(output.elements ?? [], state) ? state : undefined
  },
  isPassive: (input) => input.kind === 'read',
  stateKey: (state) => JSON.stringify(state),
  partition: (input) => input.key,
}

function isEqual(a: List, b: List): boolean {
  return a.length === b.length && a.every((element, at) => element === b[at])
}
