// How a machine gets in: a token with the command to paste and a code to scan, or four words to type.

import { type FormEvent, useState } from 'react'
import type { Members, Token } from '../answers.ts'
import { ApiFault, change } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Empty, Failure, Shown } from '../parts/notices.tsx'
import { QrCode } from '../parts/qr-code.tsx'
import { Copy, Moment, State } from '../parts/small.tsx'
import { usePolled } from '../polled.ts'

type Made = { readonly token: string; readonly view: Token }

const everyMs = 5_000

export function Join({ mayChange }: { readonly mayChange: boolean }) {
  const members = usePolled<Members>('/v1/members', everyMs)
  const tokens = usePolled<{ readonly tokens: readonly Token[] }>('/v1/tokens', everyMs)
  const [made, setMade] = useState<Made>()
  const isMissing = tokens.fault?.isMissing === true
  return (
    <>
      {mayChange && !isMissing ? (
        <>
          <NewToken
            onMade={(next) => {
              setMade(next)
              tokens.again()
            }}
          />
          {made === undefined ? null : <ShownToken made={made} region={members.value?.region} />}
          <Pairing />
        </>
      ) : null}
      <section>
        <h2>Tokens</h2>
        <Shown polled={tokens} what="the token list">
          {(value) => (
            <TokenTable tokens={value.tokens} mayChange={mayChange} again={tokens.again} />
          )}
        </Shown>
      </section>
    </>
  )
}

const lifetimes = [
  { seconds: 600, name: '10 minutes' },
  { seconds: 3_600, name: '1 hour' },
  { seconds: 86_400, name: '24 hours' },
] as const

function NewToken({ onMade }: { readonly onMade: (made: Made) => void }) {
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  const create = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const name = String(fields.get('name') ?? '').trim()
    setIsBusy(true)
    setFault(undefined)
    try {
      onMade(
        await change<Made>('POST', '/v1/tokens', {
          uses: Number(fields.get('uses')),
          lifetimeSeconds: Number(fields.get('lifetime')),
          approval: fields.get('approval') === 'on' ? 'operator' : 'automatic',
          ...(name === '' ? {} : { name }),
        }),
      )
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
    } finally {
      setIsBusy(false)
    }
  }
  return (
    <section className="card">
      <h2>New token</h2>
      <form className="inline" onSubmit={(event) => create(event)} aria-busy={isBusy}>
        <label>
          Machines
          <input name="uses" type="number" min={1} max={100} defaultValue={1} required />
        </label>
        <label>
          Good for
          <select name="lifetime" defaultValue="3600">
            {lifetimes.map(({ seconds, name }) => (
              <option key={seconds} value={seconds}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Only for the machine named <span className="faint">(may be empty)</span>
          <input name="name" maxLength={63} autoCapitalize="none" spellCheck={false} />
        </label>
        <label className="check">
          <input name="approval" type="checkbox" />
          Ask me before it is let in
        </label>
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? 'Creating …' : 'Create token'}
        </button>
      </form>
      {fault === undefined ? null : <Failure fault={fault} />}
    </section>
  )
}

function ShownToken({
  made,
  region,
}: {
  readonly made: Made
  readonly region: string | undefined
}) {
  const { token, view } = made
  const command = [
    `atoll admin join --region ${region ?? 'REGION'} --az ZONE --node ${view.name ?? 'NAME'}`,
    `--host ${location.host} --bind ADDRESS --data-dir DIRECTORY`,
    `--token ${token}`,
  ].join(' \\\n  ')
  return (
    <section className="card made" aria-live="polite">
      <h2>Token {view.id}</h2>
      <p className="notice warn">
        It is shown this once. Whoever has it can bring a machine in, until{' '}
        <Moment atMs={view.expiresMs} />.
      </p>
      <div className="made-parts">
        <div>
          <h3>Token</h3>
          <p className="copied">
            <code data-testid="token">{token}</code> <Copy text={token} what="the token" />
          </p>
          <h3>On the machine</h3>
          <p className="faint">
            With its own zone, name, address and directory in place of the capitals.
          </p>
          <pre>
            <code>{command}</code>
          </pre>
          <Copy text={command} what="the command" />
        </div>
        <figure>
          <QrCode text={token} label={`Token ${view.id} as a QR code`} />
          <figcaption className="faint">The token, for the setup page of a machine</figcaption>
        </figure>
      </div>
    </section>
  )
}

function Pairing() {
  const [made, setMade] = useState<{ readonly words: string; readonly expiresMs: number }>()
  const [fault, setFault] = useState<ApiFault>()
  const create = async (): Promise<void> => {
    setFault(undefined)
    try {
      setMade(await change('POST', '/v1/pairings'))
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
    }
  }
  return (
    <section className="card">
      <h2>Pairing code</h2>
      <p>
        Four words to type on the setup page of a machine that was started with{' '}
        <code>atoll start</code>: for one machine, and for five tries.
      </p>
      <button type="button" onClick={() => create()}>
        Show a pairing code
      </button>
      <div aria-live="polite">
        {made === undefined ? null : (
          <p className="words">
            <strong>{made.words}</strong>{' '}
            <span className="faint">
              ends <Moment atMs={made.expiresMs} />
            </span>
          </p>
        )}
      </div>
      {fault === undefined ? null : fault.isMissing ? (
        <Empty>The version of this node has no pairing codes.</Empty>
      ) : (
        <Failure fault={fault} />
      )}
    </section>
  )
}

function TokenTable({
  tokens,
  mayChange,
  again,
}: {
  readonly tokens: readonly Token[]
  readonly mayChange: boolean
  readonly again: () => void
}) {
  const [ending, setEnding] = useState<Token>()
  if (tokens.length === 0) return <Empty>There are no tokens.</Empty>
  return (
    <>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Token</th>
            <th scope="col">State</th>
            <th scope="col" className="number">
              Uses left
            </th>
            <th scope="col">Ends</th>
            <th scope="col">Made by</th>
            <th scope="col">
              <span className="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <tr key={token.id}>
              <th scope="row">
                <code>{token.id}</code> {token.name === undefined ? '' : `for ${token.name}`}
              </th>
              <td data-label="State">
                <State state={token.state} />
              </td>
              <td data-label="Uses left" className="number">
                {token.usesLeft} of {token.uses}
              </td>
              <td data-label="Ends">
                <Moment atMs={token.expiresMs} />
              </td>
              <td data-label="Made by">{token.createdBy}</td>
              <td className="actions">
                {mayChange && token.state === 'open' ? (
                  <button
                    type="button"
                    onClick={() => setEnding(token)}
                    aria-label={`Revoke ${token.id}`}
                  >
                    Revoke
                  </button>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {ending === undefined ? null : (
        <Dialog
          title={`Revoke the token ${ending.id}?`}
          confirm="Revoke"
          isDangerous
          onClose={() => setEnding(undefined)}
          onConfirm={async () => {
            await change('DELETE', `/v1/tokens/${encodeURIComponent(ending.id)}`)
            again()
          }}
        >
          <p>No machine can come in by it any more. Machines that came in by it before stay.</p>
        </Dialog>
      )}
    </>
  )
}
