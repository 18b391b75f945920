// The frame around the pages: who is logged in, where one is, and the way between.

import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiFault, logout, onSignedOut, readSession, type Session } from './api.ts'
import { startLive } from './live.ts'
import { Audit } from './pages/audit.tsx'
import { Join } from './pages/join.tsx'
import { Login } from './pages/login.tsx'
import { Nodes } from './pages/nodes.tsx'
import { Overview } from './pages/overview.tsx'
import { Settings } from './pages/settings.tsx'
import { Brand } from './parts/brand.tsx'
import { Failure, Loading } from './parts/notices.tsx'
import { follow, places, usePlace } from './place.ts'
import { ThemeSwitch } from './theme.tsx'

type State =
  | { readonly kind: 'asking' }
  | { readonly kind: 'failed'; readonly fault: ApiFault }
  | { readonly kind: 'out'; readonly why?: string }
  | { readonly kind: 'in'; readonly session: Session }

export function App() {
  const [state, setState] = useState<State>({ kind: 'asking' })
  const look = useCallback(() => {
    setState({ kind: 'asking' })
    readSession().then(
      (session) => setState(session === undefined ? { kind: 'out' } : { kind: 'in', session }),
      (error: unknown) => {
        if (!(error instanceof ApiFault)) throw error
        setState({ kind: 'failed', fault: error })
      },
    )
  }, [])
  useEffect(look, [look])
  useEffect(() => onSignedOut(() => setState({ kind: 'out', why: 'Your session has ended.' })), [])
  if (state.kind === 'asking') return <Loading what="the session" />
  if (state.kind === 'failed') {
    return (
      <main className="lone">
        <Failure fault={state.fault} again={look} />
      </main>
    )
  }
  if (state.kind === 'out') {
    return <Login why={state.why} onSession={(session) => setState({ kind: 'in', session })} />
  }
  return <Frame session={state.session} onOut={() => setState({ kind: 'out' })} />
}

function Frame({ session, onOut }: { readonly session: Session; readonly onOut: () => void }) {
  const place = usePlace()
  const main = useRef<HTMLElement>(null)
  const title = place?.title ?? 'Not found'
  const shownBefore = useRef(title)
  useEffect(startLive, [])
  useEffect(() => {
    document.title = `${title} · Atoll`
    // A page that was changed to is where reading goes on; the first one begins at the top as any page does.
    if (shownBefore.current !== title) main.current?.focus()
    shownBefore.current = title
  }, [title])
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header>
        <div className="bar">
          <a className="brand" href="/console/" onClick={follow}>
            <Brand />
            Atoll
          </a>
          <nav aria-label="Pages">
            {places.map(({ path, title: name }) => (
              <a
                key={path}
                href={path}
                onClick={follow}
                aria-current={name === title ? 'page' : undefined}
              >
                {name}
              </a>
            ))}
          </nav>
          <div className="self">
            <ThemeSwitch />
            <Leave operator={session.operator} onOut={onOut} />
          </div>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <h1>{title}</h1>
        {place === undefined ? (
          <p>
            There is no such page.{' '}
            <a href="/console/" onClick={follow}>
              To the overview
            </a>
          </p>
        ) : (
          <Page title={place.title} session={session} />
        )}
      </main>
    </>
  )
}

function Page({
  title,
  session,
}: {
  readonly title: (typeof places)[number]['title']
  readonly session: Session
}) {
  const mayChange = session.scopes.includes('admin')
  if (title === 'Overview') return <Overview />
  if (title === 'Nodes') return <Nodes mayChange={mayChange} />
  if (title === 'Settings') return <Settings mayChange={mayChange} />
  if (title === 'Join') return <Join mayChange={mayChange} />
  return <Audit />
}

function Leave({ operator, onOut }: { readonly operator: string; readonly onOut: () => void }) {
  const [fault, setFault] = useState<ApiFault>()
  const leave = async (): Promise<void> => {
    try {
      await logout()
      onOut()
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      if (error.code === 'unauthenticated') onOut()
      else setFault(error)
    }
  }
  return (
    <span className="leave">
      <span className="operator" title={`Logged in as ${operator}`}>
        {operator}
      </span>
      <button type="button" className="plain" onClick={() => leave()}>
        Log out
      </button>
      {fault === undefined ? null : (
        <span role="alert" className="bad">
          {fault.message}
        </span>
      )}
    </span>
  )
}
