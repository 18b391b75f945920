// Small things that several pages show.

import { useEffect, useState } from 'react'
import { exact, relative } from '../format.ts'

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
function useNow(atMs: number): number {
  const [nowMs, setNowMs] = useState(() => Date.now())
  const isNear = Math.abs(nowMs - atMs) < 120_000
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), isNear ? 1_000 : 20_000)
    return () => clearInterval(timer)
  }, [isNear])
  return nowMs
}

export function Bar({
  part,
  whole,
  label,
}: {
  readonly part: number
  readonly whole: number
  readonly label: string
}) {
  return (
    <meter min={0} max={Math.max(whole, 1)} value={part} high={whole * 0.85} aria-label={label}>
      {label}
    </meter>
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
    <>
      <button type="button" className="plain" onClick={() => copy()} aria-label={`Copy ${what}`}>
        Copy
      </button>
      <span role="status" className="faint said">
        {said}
      </span>
    </>
  )
}
