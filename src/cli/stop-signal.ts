// How a command that stays in the foreground learns that it shall stop.

/**
 * Aborts at the first of SIGINT, SIGTERM, SIGHUP or the parent's end. A repeated signal changes nothing: a
 * terminal and npm may both deliver the same Ctrl-C.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  process.on('disconnect', stop)
  return controller.signal
}

/** Settles once the signal has aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
