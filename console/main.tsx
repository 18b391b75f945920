// The console: pages for people in a browser. It talks to the node that served it, through the public API only.

import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import './style.css'
import { applyTheme } from './theme.tsx'

applyTheme()
const place = document.getElementById('root')
if (place !== null) createRoot(place).render(<App />)
