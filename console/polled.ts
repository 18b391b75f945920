// Something that is read from the node again and again while the page is looked at. One request at a time; while the page
// is hidden none; after a failure the last answer stays, and `fault` says that it is old.

import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiFault, read } from './api.ts'

export type Polled<T> = {
  /** Undefined before the first answer. */
  readonly value: T | undefined
  readonly fault: ApiFault | undefined
  /** Asks now. */
  readonly again: () => void
}

export function usePolled<T>(path: string, everyMs: number): Polled<T> {
  const [state, setState] = useState<{ value: T | undefined; fault: ApiFault | undefined }>({
    value: undefined,
    fault: undefined,
  })
  const wake = useRef<() => void>(() => undefined)
  useEffect(() => {
    const stopping = new AbortController()
    const { signal } = stopping
    const loop = async (): Promise<void> => {
      while (!signal.aborted) {
        let isMissing = false
        try {
          const value = await read<T>(path, signal)
          if (!signal.aborted) setState({ value, fault: undefined })
        } catch (error) {
          if (signal.aborted) return
          if (!(error instanceof ApiFault)) throw error
          isMissing = error.isMissing
          setState(({ value }) => ({ value, fault: error }))
        }
        // What a node does not have it will not have soon.
        await pause(isMissing ? everyMs * 15 : everyMs, signal, (now) => {
          wake.current = now
        })
      }
    }
    loop().catch((error: unknown) => {
      if (!signal.aborted) reportError(error)
    })
    return () => stopping.abort()
  }, [path, everyMs])
  const again = useCallback(() => wake.current(), [])
  return { ...state, again }
}

/** Until the time is over and the page is visible, or somebody asks for it now. */
function pause(ms: number, signal: AbortSignal, offer: (now: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', onVisible)
      signal.removeEventListener('abort', end)
      resolve()
    }
    let isDue = false
    const onVisible = (): void => {
      if (isDue && !document.hidden) end()
    }
    const timer = setTimeout(() => {
      isDue = true
      onVisible()
    }, ms)
    document.addEventListener('visibilitychange', onVisible)
    signal.addEventListener('abort', end)
    offer(end)
  })
}
