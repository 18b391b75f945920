// Who did what: every administrative act, the newest first, page by page.

import { useState } from 'react'
import type { AuditEntry } from '../answers.ts'
import { words } from '../format.ts'
import { Empty, Shown } from '../parts/notices.tsx'
import { Moment, Outcome } from '../parts/small.tsx'
import { usePolled } from '../polled.ts'

const pageLength = 25
const everyMs = 5_000

export function Audit() {
  /** The entry that each page stands before, from the second on: going back is going where one came from. */
  const [befores, setBefores] = useState<readonly number[]>([])
  const before = befores.at(-1)
  const at = before === undefined ? '' : `&before=${before}`
  const polled = usePolled<{ readonly entries: readonly AuditEntry[] }>(
    `/v1/access/audit?limit=${pageLength}${at}`,
    everyMs,
  )
  return (
    <Shown polled={polled} what="the audit log">
      {({ entries }) => {
        const last = entries.at(-1)?.sequence
        // What is shown still is the page that was left: its last entry is the one that the next stands before.
        const isTurning = last === undefined || last === before
        const turn = (next: readonly number[]): void => {
          setBefores(next)
          scrollTo({ top: 0 })
        }
        return (
          <>
            {entries.length === 0 ? (
              <Empty>
                {before === undefined
                  ? 'Nothing has been done yet. Every administrative act is entered here: who, what, from where.'
                  : 'Nothing is older.'}
              </Empty>
            ) : (
              <Entries entries={entries} />
            )}
            <nav className="buttons" aria-label="Pages of the log">
              <button type="button" disabled={befores.length === 0} onClick={() => turn([])}>
                Newest
              </button>
              <button
                type="button"
                disabled={befores.length === 0}
                onClick={() => turn(befores.slice(0, -1))}
              >
                Newer
              </button>
              <button
                type="button"
                disabled={entries.length < pageLength || isTurning}
                onClick={() => last !== undefined && turn([...befores, last])}
              >
                Older
              </button>
            </nav>
          </>
        )
      }}
    </Shown>
  )
}

function Entries({ entries }: { readonly entries: readonly AuditEntry[] }) {
  return (
    <table className="rows audit">
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col">Who</th>
          <th scope="col">On</th>
          <th scope="col">From</th>
          <th scope="col">Outcome</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {entries.map(({ sequence, atMs, actor, action, resource, source, outcome }) => (
          <tr key={`${sequence} ${atMs} ${action}`}>
            <th scope="row" title={action}>
              {words(action)}
            </th>
            <td>{actor}</td>
            <td className="long">
              <code>{resource}</code>
            </td>
            <td>{source === '' ? 'the node itself' : source}</td>
            <td className="beside">
              <Outcome outcome={outcome} />
            </td>
            <td>
              <Moment atMs={atMs} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
