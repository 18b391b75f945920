// Dark or light: as the system says, until somebody chooses. The choice is kept by the browser.

import { useState } from 'react'

const choices = ['system', 'light', 'dark'] as const
type Theme = (typeof choices)[number]
const kept = 'atoll-theme'

function readTheme(): Theme {
  try {
    return choices.find((choice) => choice === localStorage.getItem(kept)) ?? 'system'
  } catch {
    return 'system'
  }
}

export function applyTheme(theme = readTheme()): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(readTheme)
  return (
    <label className="theme">
      <span className="hidden">Colours</span>
      <select
        value={theme}
        onChange={(event) => {
          const chosen = choices.find((choice) => choice === event.target.value) ?? 'system'
          setTheme(chosen)
          applyTheme(chosen)
          try {
            localStorage.setItem(kept, chosen)
          } catch {
            // Storage may be forbidden: the choice lasts as long as the page then.
          }
        }}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  )
}
