// Asking again and again, one request at a time, and none while the page is hidden.

/** As much of the document as says whether it is looked at. */
export type Page = {
  readonly hidden: boolean
  addEventListener(type: 'visibilitychange', listener: () => void): void
  removeEventListener(type: 'visibilitychange', listener: () => void): void
}

type Around = {
  readonly page: Page
  /** Ends it. */
  readonly signal: AbortSignal
  /** Told of what `ask` did not handle. */
  readonly fail: (error: unknown) => void
}

/**
 * `ask` answers after how many ms to ask next. Answers what has it ask now: while an answer is on its
 * way once more after it, because that one may be from before what made the caller ask.
 */
export function poll(ask: () => Promise<number>, around: Around): () => void {
  const { signal, fail } = around
  let isOwed = false
  let end = (): void => undefined
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      isOwed = false
      const ms = await ask()
      if (!isOwed && !signal.aborted) {
        await pause(ms, around, (now) => {
          end = now
        })
      }
    }
  }
  loop().catch((error: unknown) => {
    if (!signal.aborted) fail(error)
  })
  return () => {
    isOwed = true
    end()
  }
}

/** Until the time is over and the page is visible, or somebody asks for it now. */
function pause(
  ms: number,
  { page, signal }: Around,
  offer: (now: () => void) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      page.removeEventListener('visibilitychange', onVisible)
      signal.removeEventListener('abort', end)
      resolve()
    }
    let isDue = false
    const onVisible = (): void => {
      if (isDue && !page.hidden) end()
    }
    const timer = setTimeout(() => {
      isDue = true
      onVisible()
    }, ms)
    page.addEventListener('visibilitychange', onVisible)
    signal.addEventListener('abort', end)
    offer(end)
  })
}
