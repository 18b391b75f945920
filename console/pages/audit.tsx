// Who did what: every administrative act, the newest first, page by page.

import { useState } from 'react'
import type { AuditEntry } from '../answers.ts'
import { Empty, Shown } from '../parts/notices.tsx'
import { Moment, State } from '../parts/small.tsx'
import { usePolled } from '../polled.ts'

const pageLength = 50
const everyMs = 5_000

export function Audit() {
  const [before, setBefore] = useState<number>()
  const at = before === undefined ? '' : `&before=${before}`
  const polled = usePolled<{ readonly entries: readonly AuditEntry[] }>(
    `/v1/access/audit?limit=${pageLength}${at}`,
    everyMs,
  )
  return (
    <Shown polled={polled} what="the audit log">
      {({ entries }) => (
        <>
          {entries.length === 0 ? (
            <Empty>
              {before === undefined ? 'Nothing has been done yet.' : 'Nothing is older.'}
            </Empty>
          ) : (
            <Entries entries={entries} />
          )}
          <p className="buttons">
            <button
              type="button"
              disabled={before === undefined}
              onClick={() => setBefore(undefined)}
            >
              Newest
            </button>
            <button
              type="button"
              disabled={entries.length < pageLength}
              onClick={() => setBefore(entries.at(-1)?.sequence)}
            >
              Older
            </button>
          </p>
        </>
      )}
    </Shown>
  )
}

function Entries({ entries }: { readonly entries: readonly AuditEntry[] }) {
  return (
    <table className="rows">
      <thead>
        <tr>
          <th scope="col">When</th>
          <th scope="col">Who</th>
          <th scope="col">Did</th>
          <th scope="col">To</th>
          <th scope="col">From</th>
          <th scope="col">Outcome</th>
        </tr>
      </thead>
      <tbody>
        {entries.map(({ sequence, atMs, actor, action, resource, source, outcome }) => (
          <tr key={`${sequence} ${atMs} ${action}`}>
            <td data-label="When">
              <Moment atMs={atMs} />
            </td>
            <th scope="row" data-label="Who">
              {actor}
            </th>
            <td data-label="Did">{action.replace(/^admin:/, '')}</td>
            <td data-label="To" className="long">
              {resource}
            </td>
            <td data-label="From">{source === '' ? 'the node itself' : source}</td>
            <td data-label="Outcome">
              <State state={outcome} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
