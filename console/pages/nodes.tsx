// Who is in the cluster and who waits to be. Everything that changes it is confirmed, with what it will do in a sentence.

import { useState } from 'react'
import type { Certificate, Enrolment, Member, Members, Status } from '../answers.ts'
import { change } from '../api.ts'
import { count, size } from '../format.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Empty, Shown } from '../parts/notices.tsx'
import { Moment, State } from '../parts/small.tsx'
import { type Polled, usePolled } from '../polled.ts'

const everyMs = 3_000
const certificatesMs = 30_000

type Act = {
  readonly title: string
  readonly says: string
  readonly confirm: string
  readonly isDangerous?: boolean
  readonly run: (isForced: boolean) => Promise<unknown>
  /** The node may refuse, and do it all the same when it is told to. */
  readonly canForce?: boolean
}

export function Nodes({ mayChange }: { readonly mayChange: boolean }) {
  const members = usePolled<Members>('/v1/members', everyMs)
  const status = usePolled<Status>('/v1/status', everyMs)
  const certificates = usePolled<{ readonly certificates: readonly Certificate[] }>(
    '/v1/certificates',
    certificatesMs,
  )
  const [act, setAct] = useState<Act>()
  const [isForced, setIsForced] = useState(false)
  const open = (next: Act): void => {
    setIsForced(false)
    setAct(next)
  }
  const isMissing = members.fault?.isMissing === true && members.value === undefined
  return (
    <>
      {isMissing ? (
        <MembersByStatus polled={status} mayChange={mayChange} open={open} />
      ) : (
        <Shown polled={members} what="the member list">
          {(value) => (
            <>
              <Waiting waiting={value.waiting} mayChange={mayChange} open={open} />
              <MemberTable
                members={value.members.map((member) => ({ ...member, ...liveOf(status, member) }))}
                certificates={certificates}
                mayChange={mayChange}
                open={open}
              />
            </>
          )}
        </Shown>
      )}
      {act === undefined ? null : (
        <Dialog
          key={act.title}
          title={act.title}
          confirm={act.confirm}
          isDangerous={act.isDangerous ?? false}
          onClose={() => setAct(undefined)}
          onConfirm={async () => {
            await act.run(isForced)
            members.again()
            status.again()
          }}
        >
          <p>{act.says}</p>
          {act.canForce === true ? (
            <label className="check">
              <input
                type="checkbox"
                checked={isForced}
                onChange={(event) => setIsForced(event.target.checked)}
              />
              Do it even if data or the majority of a group is lost by it
            </label>
          ) : null}
        </Dialog>
      )}
    </>
  )
}

type Row = Pick<Member, 'id' | 'name' | 'state'> &
  Partial<Omit<Member, 'id' | 'name' | 'state'>> & {
    readonly freeBytes?: number
    readonly totalBytes?: number
  }

/** What the node itself says now beside what is recorded of it. */
function liveOf({ value }: Polled<Status>, { id, state }: Pick<Member, 'id' | 'state'>) {
  const live = value?.nodes.find((node) => node.id === id)
  if (live === undefined) return {}
  const isSilent = state === 'online' && (live.state === 'offline' || live.state === 'suspect')
  return {
    ...(isSilent ? { state: live.state } : {}),
    freeBytes: live.freeBytes,
    totalBytes: live.totalBytes,
  }
}

type Parts = {
  readonly mayChange: boolean
  readonly open: (act: Act) => void
}

function MembersByStatus({ polled, ...parts }: Parts & { readonly polled: Polled<Status> }) {
  return (
    <>
      <Empty>
        The version of this node has no member list with labels and capabilities. What follows is
        its status.
      </Empty>
      <Shown polled={polled} what="the status">
        {({ nodes }) => (
          <MemberTable
            members={nodes.map((node) => ({ ...node, address: node.admin }))}
            {...parts}
          />
        )}
      </Shown>
    </>
  )
}

function MemberTable({
  members,
  certificates,
  mayChange,
  open,
}: Parts & {
  readonly members: readonly Row[]
  readonly certificates?: Polled<{ readonly certificates: readonly Certificate[] }>
}) {
  return (
    <section>
      <h2>Members</h2>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col">Labels</th>
            <th scope="col">Capabilities</th>
            <th scope="col" className="number">
              Free
            </th>
            <th scope="col">Certificate ends</th>
            <th scope="col">
              <span className="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {members.map((member) => (
            <tr key={member.id}>
              <th scope="row">
                {member.name} <span className="faint">#{member.id}</span>
                <br />
                <span className="faint">
                  {member.address} {member.version}
                </span>
              </th>
              <td data-label="State">
                <State state={member.state} />
              </td>
              <td data-label="Labels">
                <Labels labels={member.labels ?? {}} />
              </td>
              <td data-label="Capabilities">{capsText(member.caps)}</td>
              <td data-label="Free" className="number">
                {(member.totalBytes ?? 0) === 0
                  ? '–'
                  : `${size(member.freeBytes ?? 0)} of ${size(member.totalBytes ?? 0)}`}
              </td>
              <td data-label="Certificate ends">
                <CertificateEnd certificates={certificates} member={member.id} />
              </td>
              <td className="actions">
                {mayChange ? <MemberActions member={member} open={open} /> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Labels({ labels }: { readonly labels: Readonly<Record<string, string>> }) {
  const entries = Object.entries(labels)
  if (entries.length === 0) return '–'
  return entries.map(([key, value]) => (
    <span key={key} className="tag">
      {key}={value}
    </span>
  ))
}

function capsText(caps: readonly string[] | undefined): string {
  if (caps === undefined) return '–'
  return caps.length === 0 ? 'all' : caps.join(', ')
}

function CertificateEnd({
  certificates,
  member,
}: {
  readonly certificates: Polled<{ readonly certificates: readonly Certificate[] }> | undefined
  readonly member: number
}) {
  const all = certificates?.value?.certificates.filter((known) => known.member === member) ?? []
  const latest = all.reduce((ms, { notAfterMs }) => Math.max(ms, notAfterMs), 0)
  if (latest > 0) return <Moment atMs={latest} />
  const isMissing = certificates === undefined || certificates.fault?.isMissing === true
  return (
    <span title={isMissing ? 'The version of this node does not tell.' : 'Not recorded.'}>–</span>
  )
}

function MemberActions({
  member,
  open,
}: {
  readonly member: Row
  readonly open: (act: Act) => void
}) {
  const { id, name, state } = member
  const drain: Act = {
    title: `Drain ${name}?`,
    says: `Its shards, leaderships and votes are moved to the other nodes, at the pace set for moves. It serves until then, and can be removed afterwards without loss. It can be called off.`,
    confirm: 'Drain',
    canForce: true,
    run: (force) => change('POST', '/v1/members/drain', { id, ...(force ? { force } : {}) }),
  }
  const cancel: Act = {
    title: `Keep ${name}?`,
    says: 'The drain is called off. What has moved already stays where it is and is balanced later.',
    confirm: 'Keep the node',
    run: () => change('POST', '/v1/members/drain', { id, cancel: true }),
  }
  const remove: Act = {
    title: `Remove ${name}?`,
    says: `It stops being a member for good: its certificates are refused at once, and it can only come back as a new node. Unless it was drained, what only it holds is lost.`,
    confirm: 'Remove',
    isDangerous: true,
    canForce: true,
    run: (force) => change('POST', '/v1/members/remove', { id, ...(force ? { force } : {}) }),
  }
  return (
    <>
      {state === 'draining' ? (
        <button type="button" onClick={() => open(cancel)} aria-label={`Keep ${name}`}>
          Keep
        </button>
      ) : (
        <button type="button" onClick={() => open(drain)} aria-label={`Drain ${name}`}>
          Drain
        </button>
      )}
      <button
        type="button"
        className="danger"
        onClick={() => open(remove)}
        aria-label={`Remove ${name}`}
      >
        Remove
      </button>
    </>
  )
}

function Waiting({ waiting, mayChange, open }: Parts & { readonly waiting: readonly Enrolment[] }) {
  if (waiting.length === 0) return null
  return (
    <section className="card" aria-live="polite">
      <h2>
        {count(waiting.length)} {waiting.length === 1 ? 'machine waits' : 'machines wait'} to be let
        in
      </h2>
      <ul className="waiting">
        {waiting.map((enrolment) => (
          <li key={enrolment.fingerprint}>
            <div>
              <strong>{enrolment.name}</strong> at {enrolment.address}, zone {enrolment.zone || '–'}
              , asked <Moment atMs={enrolment.requestedMs} />
              <br />
              <span className="faint">
                Compare with the machine: key <code>{enrolment.fingerprint}</code>
              </span>
            </div>
            {mayChange ? <EnrolmentActions enrolment={enrolment} open={open} /> : null}
          </li>
        ))}
      </ul>
    </section>
  )
}

function EnrolmentActions({
  enrolment,
  open,
}: {
  readonly enrolment: Enrolment
  readonly open: (act: Act) => void
}) {
  const { fingerprint, name } = enrolment
  const path = `/v1/enrolments/${encodeURIComponent(fingerprint)}`
  const approve: Act = {
    title: `Let ${name} in?`,
    says: `The machine with the key ${fingerprint} becomes a member: it gets certificates and the cluster's settings, and data is placed on it. Compare the key with what the machine shows.`,
    confirm: 'Let it in',
    run: () => change('POST', `${path}/approve`),
  }
  const reject: Act = {
    title: `Turn ${name} away?`,
    says: 'The machine is told so and gets nothing. It can ask again with another token.',
    confirm: 'Turn away',
    isDangerous: true,
    run: () => change('POST', `${path}/reject`),
  }
  return (
    <span className="actions">
      <button type="button" className="primary" onClick={() => open(approve)}>
        Approve
      </button>
      <button type="button" onClick={() => open(reject)}>
        Reject
      </button>
    </span>
  )
}
