// What is shown in the place of something: that it is on its way, that it failed, that there is none.

import type { ReactNode } from 'react'
import type { ApiFault } from '../api.ts'

export function Loading({ what }: { readonly what: string }) {
  return (
    <p className="loading" role="status">
      Reading {what} …
    </p>
  )
}

export function Failure({
  fault,
  again,
}: {
  readonly fault: ApiFault
  readonly again?: () => void
}) {
  return (
    <div className="notice bad" role="alert">
      <p>{sentence(fault.message)}</p>
      {fault.next === undefined ? null : (
        <p>
          <strong>Next:</strong> {fault.next}
        </p>
      )}
      {again === undefined ? null : (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  )
}

/** Faults begin in lower case, as errors of programs do. */
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}

export function Empty({ children }: { readonly children: ReactNode }) {
  return <p className="empty">{children}</p>
}

/**
 * The three states of something polled: the node has no such thing, it failed before there was anything, or it is there, perhaps
 * old.
 */
export function Shown<T>({
  polled,
  what,
  children,
}: {
  readonly polled: {
    readonly value: T | undefined
    readonly fault: ApiFault | undefined
    readonly again: () => void
  }
  /** 'the event list' */
  readonly what: string
  readonly children: (value: T) => ReactNode
}) {
  const { value, fault, again } = polled
  if (fault?.isMissing === true && value === undefined) {
    return <Empty>The version of this node has no {what.replace(/^the /, '')}.</Empty>
  }
  if (fault?.code === 'denied' && value === undefined) {
    return (
      <Empty>
        Your scopes do not include {what}. An operator with the scope admin can give you them.
      </Empty>
    )
  }
  if (value === undefined) {
    return fault === undefined ? <Loading what={what} /> : <Failure fault={fault} again={again} />
  }
  return (
    <>
      {fault === undefined ? null : (
        <p className="notice warn" role="status">
          This is old: {sentence(fault.message)}
          {fault.next === undefined ? '' : ` Next: ${fault.next}.`}
        </p>
      )}
      {children(value)}
    </>
  )
}
