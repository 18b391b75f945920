// Which page is shown: the path below /console/, so that a page has an address, and back goes back.

import { type MouseEvent, useSyncExternalStore } from 'react'

export const places = [
  { path: '/console/', title: 'Overview' },
  { path: '/console/nodes', title: 'Nodes' },
  { path: '/console/join', title: 'Join' },
  { path: '/console/settings', title: 'Settings' },
  { path: '/console/audit', title: 'Audit log' },
] as const
export type Place = (typeof places)[number]

const changed = new Set<() => void>()
addEventListener('popstate', () => {
  for (const tell of changed) tell()
})

export function usePlace(): Place | undefined {
  const path = useSyncExternalStore(
    (tell) => {
      changed.add(tell)
      return () => changed.delete(tell)
    },
    () => location.pathname,
  )
  return places.find((place) => place.path.replace(/\/$/, '') === path.replace(/\/$/, ''))
}

/** For links: the browser's own ways (new tab, middle button) stay. */
export function follow(event: MouseEvent<HTMLAnchorElement>): void {
  const isPlain =
    event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
  if (!isPlain) return
  event.preventDefault()
  history.pushState(null, '', event.currentTarget.href)
  for (const tell of changed) tell()
}
