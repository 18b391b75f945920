// What is wrong with a file that does not have its shape: the place and the words for people.

import type { BaseIssue } from 'valibot'

export type ShapeIssue = {
  /** The key and what holds it, outermost first; of an unknown key its own. */
  readonly path: readonly (string | number)[]
  readonly what: string
}

export function describeIssue(issue: BaseIssue<unknown>): ShapeIssue {
  const keys = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    return { path: keys, what: 'unknown key' }
  }
  if (issue.received === 'undefined') return { path: keys, what: 'is missing' }
  return { path: keys, what: issue.message }
}
