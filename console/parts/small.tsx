// Small things that several pages show.

import { useEffect, useState } from 'react'
import { exact, relative, size } from '../format.ts'

const states: Readonly<Record<string, string>> = {
  online: 'good',
  draining: 'warn',
  joining: 'warn',
  pending: 'warn',
  suspect: 'warn',
  offline: 'bad',
  open: 'good',
  ok: 'good',
}

/** A word with a mark of its own shape, so that the colour is not all that tells. */
export function State({ state }: { readonly state: string }) {
  const kind = states[state] ?? 'faint'
  const mark = kind === 'good' ? '●' : kind === 'warn' ? '▲' : kind === 'bad' ? '■' : '○'
  return (
    <span className={`state ${kind}`}>
      <span aria-hidden="true">{mark}</span> {state}
    </span>
  )
}

/** How an act ended: everything but 'ok' was refused or came to nothing. */
export function Outcome({ outcome }: { readonly outcome: string }) {
  const isDone = outcome === 'ok'
  return (
    <span className={`state ${isDone ? 'good' : 'bad'}`}>
      <span aria-hidden="true">{isDone ? '✓' : '✕'}</span> {isDone ? 'done' : outcome}
    </span>
  )
}

/** Relative, with the exact moment in the title. */
export function Moment({ atMs }: { readonly atMs: number }) {
  const nowMs = useNow(atMs)
  return (
    <time dateTime={new Date(atMs).toISOString()} title={exact(atMs)}>
      {relative(atMs, nowMs)}
    </time>
  )
}

/** Changes as often as it matters for something so far away. */
export function useNow(atMs: number): number {
  const [nowMs, setNowMs] = useState(() => Date.now())
  const isNear = Math.abs(nowMs - atMs) < 120_000
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), isNear ? 1_000 : 20_000)
    return () => clearInterval(timer)
  }, [isNear])
  return nowMs
}

/** How full something is, as a bar and in words. */
export function Fill({
  freeBytes,
  totalBytes,
  what,
}: {
  readonly freeBytes: number
  readonly totalBytes: number
  readonly what: string
}) {
  if (totalBytes === 0) return <span className="faint">not known</span>
  const used = Math.max(0, totalBytes - freeBytes)
  const text = `${size(used)} of ${size(totalBytes)} used`
  return (
    <span className="fill">
      <meter
        min={0}
        max={totalBytes}
        value={used}
        high={totalBytes * 0.85}
        optimum={0}
        aria-label={`${what}: ${text}`}
      >
        {text}
      </meter>
      <span className="faint">{size(freeBytes)} free</span>
    </span>
  )
}

export function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const [said, setSaid] = useState('')
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      setSaid('Copied')
    } catch {
      setSaid('Select it and copy it by hand')
    }
    setTimeout(() => setSaid(''), 3_000)
  }
  return (
    <span className="copy">
      <button type="button" className="small" onClick={() => copy()} aria-label={`Copy ${what}`}>
        Copy
      </button>
      <span role="status" className="faint said">
        {said}
      </span>
    </span>
  )
}
