// Strings by key: get, put, append. A key that was never written is the empty string.

import type { Model } from '../model.ts'

export type TextMapInput =
  | { readonly kind: 'get'; readonly key: string }
  | { readonly kind: 'put' | 'append'; readonly key: string; readonly value: string }

/** Of a get: what was there. */
export type TextMapOutput = { readonly value?: string }

export const textMapModel: Model<string, TextMapInput, TextMapOutput> = {
  name: 'key-value',
  initial: '',
  apply(state, input, output) {
    if (input.kind === 'put') return input.value
    if (input.kind === 'append') return state + input.value
    return output !== undefined && output.value !== state ? undefined : state
  },
  isPassive: (input) => input.kind === 'get',
  stateKey: (state) => state,
  partition: (input) => input.key,
}
