// How a machine gets in: a token with the command to paste and a code to scan, or four words to type.

import { type FormEvent, useState } from 'react'
import type { Members, Token } from '../answers.ts'
import { ApiFault, change } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Empty, Failure, Shown } from '../parts/notices.tsx'
import { type MadeToken, ShownToken } from '../parts/shown-token.tsx'
import { Copy, Moment, State, useNow } from '../parts/small.tsx'
import { follow } from '../place.ts'
import { usePolled } from '../polled.ts'

const everyMs = 5_000

export function Join({ mayChange }: { readonly mayChange: boolean }) {
  const members = usePolled<Members>('/v1/members', everyMs)
  const tokens = usePolled<{ readonly tokens: readonly Token[] }>('/v1/tokens', everyMs)
  const [made, setMade] = useState<MadeToken>()
  const isMissing = tokens.fault?.isMissing === true
  const waiting = members.value?.waiting.length ?? 0
  return (
    <>
      {waiting === 0 ? null : (
        <p className="notice warn" role="status">
          {waiting === 1 ? 'A machine waits' : `${waiting} machines wait`} to be let in.{' '}
          <a href="/console/nodes" onClick={follow}>
            Look and decide
          </a>
        </p>
      )}
      {mayChange && !isMissing ? (
        <>
          <div className="halves">
            <NewToken
              members={members.value?.members ?? []}
              onMade={(next) => {
                setMade(next)
                tokens.again()
              }}
            />
            <Pairing />
          </div>
          {made === undefined ? null : (
            <ShownToken key={made.view.id} made={made} region={members.value?.region} />
          )}
        </>
      ) : null}
      {mayChange || isMissing ? null : (
        <Empty>To let machines in takes the scope admin, which you do not have.</Empty>
      )}
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

function NewToken({
  members,
  onMade,
}: {
  readonly members: Members['members']
  readonly onMade: (made: MadeToken) => void
}) {
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  const create = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const name = String(fields.get('name') ?? '').trim()
    const replaces = Number(fields.get('replaces') ?? 0)
    setIsBusy(true)
    setFault(undefined)
    try {
      onMade(
        await change<MadeToken>('POST', '/v1/tokens', {
          uses: Number(fields.get('uses')),
          lifetimeSeconds: Number(fields.get('lifetime')),
          approval: fields.get('approval') === 'on' ? 'operator' : 'automatic',
          ...(name === '' ? {} : { name }),
          ...(replaces > 0 ? { replaces } : {}),
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
      <h2>By token</h2>
      <p className="faint">For a command, a bootstrap file or a scanner.</p>
      <form className="stack" onSubmit={(event) => create(event)} aria-busy={isBusy}>
        <div className="pair">
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
        </div>
        <label>
          Only for the machine named
          <input
            name="name"
            maxLength={63}
            autoCapitalize="none"
            spellCheck={false}
            placeholder="any"
          />
        </label>
        <label>
          In the place of
          <select name="replaces" defaultValue="0">
            <option value="0">nobody: one more member</option>
            {members.map(({ id, name }) => (
              <option key={id} value={id}>
                {name} (#{id}), which is removed
              </option>
            ))}
          </select>
        </label>
        <label className="check">
          <input name="approval" type="checkbox" />
          Ask me before it is let in
        </label>
        <p className="buttons start">
          <button type="submit" className="primary" disabled={isBusy}>
            {isBusy ? 'Creating …' : 'Create token'}
          </button>
        </p>
      </form>
      {fault === undefined ? null : <Failure fault={fault} />}
    </section>
  )
}

type Code = { readonly words: string; readonly expiresMs: number }

function Pairing() {
  const [made, setMade] = useState<Code>()
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  const create = async (): Promise<void> => {
    setFault(undefined)
    setIsBusy(true)
    try {
      setMade(await change('POST', '/v1/pairings'))
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
    } finally {
      setIsBusy(false)
    }
  }
  return (
    <section className="card">
      <h2>By pairing code</h2>
      <p className="faint">Four words to type, for a machine that somebody sits at.</p>
      <ol className="how">
        <li>
          Start Atoll on the machine: <code>atoll start --data-dir DIRECTORY</code>
        </li>
        <li>
          Open its setup page there: <code>http://127.0.0.1:7777</code>
        </li>
        <li>
          Type this node’s address, <code>{location.host}</code>, and the words.
        </li>
      </ol>
      <div aria-live="polite">{made === undefined ? null : <Words code={made} />}</div>
      <p className="buttons start">
        <button
          type="button"
          className={made === undefined ? 'primary' : ''}
          disabled={isBusy}
          onClick={() => create()}
        >
          {made === undefined ? 'Show a pairing code' : 'Another pairing code'}
        </button>
      </p>
      {fault === undefined ? null : fault.isMissing ? (
        <Empty>The version of this node has no pairing codes.</Empty>
      ) : (
        <Failure fault={fault} />
      )}
    </section>
  )
}

function Words({ code }: { readonly code: Code }) {
  const nowMs = useNow(code.expiresMs)
  if (nowMs >= code.expiresMs) {
    return <Empty>The code has ended. Make another one.</Empty>
  }
  return (
    <div className="words">
      <p>
        <strong data-testid="words">{code.words}</strong>
      </p>
      <p className="faint">
        For one machine and five tries; ends <Moment atMs={code.expiresMs} />.{' '}
        <Copy text={code.words} what="the pairing code" />
      </p>
    </div>
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
  if (tokens.length === 0) {
    return (
      <Empty>There are no tokens. A token lets machines in without a person beside them.</Empty>
    )
  }
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
                <code>{token.id}</code>
                {token.name === undefined || token.name === '' ? null : (
                  <span className="faint"> for {token.name}</span>
                )}
                {token.approval === 'operator' ? <span className="tag">asks first</span> : null}
              </th>
              <td className="beside">
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
          isLast
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
