// Registers by name: read, write, compare-and-set. null: nothing was written yet.

import type { Model } from '../model.ts'

export type RegisterValue = string | null

export type RegisterInput =
  | { readonly kind: 'read'; readonly key: string }
  | { readonly kind: 'write'; readonly key: string; readonly value: RegisterValue }
  | {
      readonly kind: 'compare-and-set'
      readonly key: string
      readonly expected: RegisterValue
      readonly value: RegisterValue
    }

export type RegisterOutput =
  | { readonly kind: 'read'; readonly value: RegisterValue }
  | { readonly kind: 'write' }
  | { readonly kind: 'compare-and-set'; readonly isDone: boolean }

export const registerModel: Model<RegisterValue, RegisterInput, RegisterOutput> = {
  name: 'register',
  initial: null,
  apply(state, input, output) {
    if (output !== undefined && output.kind !== input.kind) return undefined
    if (input.kind === 'write') return input.value
    if (input.kind === 'read') {
      return output?.kind === 'read' && output.value !== state ? undefined : state
    }
    const holds = state === input.expected
    if (output?.kind === 'compare-and-set' && output.isDone !== holds) return undefined
    return holds ? input.value : state
  },
  isPassive(_input, output) {
    return output.kind === 'read' || (output.kind === 'compare-and-set' && !output.isDone)
  },
  stateKey: (state) => JSON.stringify(state),
  partition: (input) => input.key,
}
