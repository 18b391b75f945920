// Periodic work of one thread. A process that rests has a dozen small things to do every second or half second;
// each with a timer of its own would wake it as often, and waking costs more than most of them. Here a period
// has its beats at the multiples of its length since the thread's start, so that what has the same or a multiple
// of a period runs in one go, behind one timer.

import type { Timer } from '../host.ts'

type Beat = { readonly ms: number; readonly run: () => void; dueMs: number }

/** What is due so soon after runs now: timers have whole milliseconds. */
const togetherMs = 2

const beats = new Set<Beat>()
let timer: NodeJS.Timeout | undefined
let armedForMs = Number.POSITIVE_INFINITY

/** Clock.every of the real host. */
export function everyBeat(ms: number, run: () => void): Timer {
  const beat: Beat = { ms, run, dueMs: nextBeatMs(ms) }
  beats.add(beat)
  if (beat.dueMs < armedForMs) arm(beat.dueMs)
  return { cancel: () => void beats.delete(beat) }
}

/** The first beat that is at least half a period away. */
function nextBeatMs(ms: number): number {
  return (Math.round(performance.now() / ms) + 1) * ms
}

function arm(dueMs: number): void {
  clearTimeout(timer)
  armedForMs = dueMs
  timer = setTimeout(fire, Math.ceil(dueMs - performance.now()))
  timer.unref()
}

function fire(): void {
  const nowMs = performance.now()
  const due = [...beats].filter(({ ms, dueMs }) => dueMs <= nowMs + Math.min(togetherMs, ms / 4))
  for (const beat of due) beat.dueMs = nextBeatMs(beat.ms)
  armedForMs = Number.POSITIVE_INFINITY
  let next = armedForMs
  for (const { dueMs } of beats) next = Math.min(next, dueMs)
  if (next < armedForMs) arm(next)
  // One may cancel another.
  for (const beat of due) if (beats.has(beat)) beat.run()
}
