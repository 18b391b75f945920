// Who are you? Nothing is told before.

import { type FormEvent, useEffect, useRef, useState } from 'react'
import { ApiFault, login, type Session } from '../api.ts'
import { Brand } from '../parts/brand.tsx'
import { sentence } from '../parts/notices.tsx'
import { ThemeSwitch } from '../theme.tsx'

export function Login({
  why,
  onSession,
}: {
  readonly why: string | undefined
  readonly onSession: (session: Session) => void
}) {
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  const password = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Log in · Atoll'
  }, [])
  const enter = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const given = (name: string): string => String(fields.get(name) ?? '')
    setIsBusy(true)
    setFault(undefined)
    try {
      onSession(await login(given('operator').trim(), given('password')))
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
      password.current?.select()
    } finally {
      setIsBusy(false)
    }
  }
  return (
    <main className="lone">
      <form className="card login" onSubmit={(event) => enter(event)} aria-busy={isBusy}>
        <h1 className="brand">
          <Brand />
          Atoll
        </h1>
        {why === undefined ? null : (
          <p className="notice warn" role="status">
            {why}
          </p>
        )}
        <label>
          Operator
          <input
            name="operator"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            defaultValue="admin"
            required
            maxLength={63}
          />
        </label>
        <label>
          Password
          <input
            ref={password}
            name="password"
            type="password"
            autoComplete="current-password"
            required
            maxLength={256}
          />
        </label>
        {fault === undefined ? null : (
          <p className="notice bad" role="alert">
            {fault.code === 'unauthenticated' ? 'Wrong name or password.' : sentence(fault.message)}
            {fault.next === undefined ? null : ` Next: ${fault.next}.`}
          </p>
        )}
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? 'Logging in …' : 'Log in'}
        </button>
        <p className="faint">
          The first password is told when the cluster is formed, and kept in the file{' '}
          <code>operator-password</code> beside the admin token. A forgotten one is replaced by{' '}
          <code>atoll admin operator password NAME</code>.
        </p>
      </form>
      <ThemeSwitch />
    </main>
  )
}
