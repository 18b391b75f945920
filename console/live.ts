// What happens in the cluster, as it happens: one stream of server-sent events for the whole page, from the node that served
// it. It resumes after the last event that was heard. Where there is no stream (an older node, too many listeners, a proxy that
// cuts it), the list of events is asked for every askMs instead, and the stream is tried again after retryMs.
//
// A hidden page holds no stream: browsers open few connections to one host, and tabs in the background would take them all.

import { useSyncExternalStore } from 'react'
import type { ClusterEvent } from './answers.ts'
import { ApiFault, read } from './api.ts'

/** 'live': told by the stream; 'asking': asked for again and again. */
export type LiveMode = 'opening' | 'live' | 'asking'

export type Live = {
  readonly mode: LiveMode
  /** Newest first, at most eventsMax. Undefined before the first answer. */
  readonly events: readonly ClusterEvent[] | undefined
  /** Why the last asking came to nothing. */
  readonly fault: ApiFault | undefined
}

export const eventsMax = 50
const askMs = 2_000
const retryMs = 30_000

const nothing: Live = { mode: 'opening', events: undefined, fault: undefined }
let live = nothing
const watchers = new Set<() => void>()
const listeners = new Set<() => void>()

function become(next: Partial<Live>): void {
  live = { ...live, ...next }
  for (const tell of watchers) tell()
}

export function useLive(): Live {
  return useSyncExternalStore(
    (tell) => {
      watchers.add(tell)
      return () => watchers.delete(tell)
    },
    () => live,
  )
}

/** Called when what is shown may be old, once a second at most. Answers what ends that. */
export function onChanged(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** True while changes are told, so that asking may be seldom. */
export function isLive(): boolean {
  return live.mode === 'live'
}

/** For as long as somebody is logged in. Answers what ends it, and forgets what was heard. */
export function startLive(): () => void {
  const feed = new Feed()
  feed.open()
  const onVisible = (): void => (document.hidden ? feed.close() : feed.open())
  document.addEventListener('visibilitychange', onVisible)
  return () => {
    document.removeEventListener('visibilitychange', onVisible)
    feed.close()
    become(nothing)
  }
}

class Feed {
  #source: EventSource | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #asking: AbortController | undefined
  /** What the stream tells before 'ready', so that a list does not grow row by row. */
  #backlog: ClusterEvent[] | undefined

  open(): void {
    if (this.#source !== undefined || document.hidden) return
    clearTimeout(this.#retry)
    const last = live.events?.[0]?.number
    const from = last === undefined ? `limit=${eventsMax}` : `after=${last}`
    const source = new EventSource(`/cluster/events/stream?${from}`)
    this.#source = source
    this.#backlog = []
    source.addEventListener('cluster', ({ data }) => this.#onEvent(data))
    source.addEventListener('ready', () => this.#onReady())
    source.addEventListener('changed', tellChanged)
    source.addEventListener('end', () => this.#onEnd())
    source.addEventListener('error', () => this.#onError(source))
  }

  close(): void {
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = undefined
    this.#asking?.abort()
    this.#asking = undefined
  }

  #onEvent(text: string): void {
    const event = JSON.parse(text) as ClusterEvent
    if (this.#backlog !== undefined) this.#backlog.push(event)
    else take([event])
  }

  #onReady(): void {
    this.#asking?.abort()
    this.#asking = undefined
    const backlog = this.#backlog ?? []
    this.#backlog = undefined
    take(backlog)
    become({ mode: 'live', fault: undefined })
    tellChanged()
  }

  /** The node ended it: the session is over, or the node cannot tell any more. Asking finds out which. */
  #onEnd(): void {
    this.close()
    this.#ask()
    this.#retry = setTimeout(() => this.open(), askMs)
  }

  #onError(source: EventSource): void {
    this.#backlog = []
    this.#ask()
    // The browser connects again by itself, unless the answer was none of a stream.
    if (source.readyState !== EventSource.CLOSED) return
    this.#source = undefined
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.open(), retryMs)
  }

  #ask(): void {
    if (this.#asking !== undefined || document.hidden) return
    const asking = new AbortController()
    this.#asking = asking
    become({ mode: 'asking' })
    const loop = async (): Promise<void> => {
      while (!asking.signal.aborted) {
        await askOnce(asking.signal)
        await new Promise((resolve) => setTimeout(resolve, askMs))
      }
    }
    loop().catch((error: unknown) => {
      if (!asking.signal.aborted) reportError(error)
    })
  }
}

async function askOnce(signal: AbortSignal): Promise<void> {
  try {
    const path = `/cluster/events?limit=${eventsMax}`
    const { events } = await read<{ readonly events: readonly ClusterEvent[] }>(path, signal)
    if (!signal.aborted) take(events.toReversed())
    become({ fault: undefined })
  } catch (error) {
    if (signal.aborted) return
    if (!(error instanceof ApiFault)) throw error
    become({ fault: error })
  }
}

/** Oldest first. What is known already is left out, so that stream and list may overlap. */
function take(heard: readonly ClusterEvent[]): void {
  const known = live.events ?? []
  const last = known[0]?.number ?? 0
  const fresh = heard.filter(({ number }) => number > last).toReversed()
  if (fresh.length > 0 || live.events === undefined) {
    become({ events: [...fresh, ...known].slice(0, eventsMax) })
  }
  if (fresh.length > 0) tellChanged()
}

function tellChanged(): void {
  for (const listener of listeners) listener()
}
