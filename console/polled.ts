// Something that is read from the node again and again while the page is looked at, and at once when the stream of
// events says that something changed. One request at a time; while the page is hidden none; after a failure the last answer
// stays, and `fault` says that it is old.

import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiFault, read } from './api.ts'
import { isLive, onChanged } from './live.ts'
import { poll } from './poll.ts'

export type Polled<T> = {
  /** Undefined before the first answer. */
  readonly value: T | undefined
  readonly fault: ApiFault | undefined
  /** Asks now. */
  readonly again: () => void
}

/** Of what changes without being told: uptimes, free space. */
const liveFactor = 3
/** What a node does not have it will not have soon. */
const missingFactor = 15

/** An undefined path asks nothing. */
export function usePolled<T>(path: string | undefined, everyMs: number): Polled<T> {
  const [state, setState] = useState<{
    path: string | undefined
    value: T | undefined
    fault: ApiFault | undefined
  }>({ path, value: undefined, fault: undefined })
  const wake = useRef<() => void>(() => undefined)
  useEffect(() => {
    if (path === undefined) return
    const stopping = new AbortController()
    const { signal } = stopping
    const ask = async (): Promise<number> => {
      let isMissing = false
      try {
        const value = await read<T>(path, signal)
        if (!signal.aborted) setState({ path, value, fault: undefined })
      } catch (error) {
        if (signal.aborted) return 0
        if (!(error instanceof ApiFault)) throw error
        isMissing = error.isMissing
        setState((before) => ({
          path,
          value: before.path === path ? before.value : undefined,
          fault: error,
        }))
      }
      return everyMs * (isMissing ? missingFactor : isLive() ? liveFactor : 1)
    }
    wake.current = poll(ask, { page: document, signal, fail: reportError })
    const endChanges = onChanged(wake.current)
    return () => {
      endChanges()
      stopping.abort()
    }
  }, [path, everyMs])
  const again = useCallback(() => wake.current(), [])
  const { value, fault } = state
  return { value, fault, again }
}
