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

const fullRatio = 0.85

/** Drawn, because browsers let their own meter be styled each in its own way. */
export function Meter({
  part,
  whole,
  label,
}: {
  readonly part: number
  readonly whole: number
  readonly label: string
}) {
  const ratio = whole === 0 ? 0 : Math.min(1, part / whole)
  return (
    <svg
      className={`meter ${ratio > fullRatio ? 'warn' : ''}`}
      viewBox="0 0 100 1"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <rect width={ratio * 100} height={1} fill="currentColor" />
    </svg>
  )
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
  const text = `${what}: ${size(used)} of ${size(totalBytes)} used`
  return (
    <span className="fill">
      <Meter part={used} whole={totalBytes} label={text} />
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
