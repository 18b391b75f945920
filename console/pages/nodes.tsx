// Who is in the cluster, who waits to be, and who is leaving. Everything that changes it is confirmed, with what it will do in a
// sentence; what the node refuses because of what would be lost, it does once the reader has accepted that.

import { useState } from 'react'
import type { Certificate, Drain, Enrolment, Member, Members, Moves, Status } from '../answers.ts'
import { newestOf, worryAbout } from '../certificates.ts'
import { count, counted, duration, keyWords, listed, size } from '../format.ts'
import { Dialog } from '../parts/dialog.tsx'
import { LabelsDialog } from '../parts/labels-dialog.tsx'
import { Empty, Shown } from '../parts/notices.tsx'
import { Fill, Moment, State, useNow } from '../parts/small.tsx'
import { follow } from '../place.ts'
import { type Polled, usePolled } from '../polled.ts'
import { TextDialog, type TextEdit } from '../parts/text-dialog.tsx'
import {
  type Act,
  approve,
  cancelDrain,
  capabilities,
  drain,
  readdress,
  reject,
  remove,
  setShare,
} from './node-acts.ts'

const everyMs = 3_000
const movesMs = 1_000
const certificatesMs = 20_000

type Certificates = Polled<{ readonly certificates: readonly Certificate[] }>

export function Nodes({ mayChange }: { readonly mayChange: boolean }) {
  const members = usePolled<Members>('/v1/members', everyMs)
  const status = usePolled<Status>('/v1/status', everyMs)
  const moves = usePolled<Moves>('/v1/moves', movesMs)
  const certificates: Certificates = usePolled('/v1/certificates', certificatesMs)
  const [act, open] = useState<Act>()
  const [labelled, label] = useState<Row>()
  const [edited, edit] = useState<TextEdit>()
  const again = (): void => {
    for (const polled of [members, status, moves]) polled.again()
  }
  const parts: Parts = { mayChange, open, label, edit }
  const isMissing = members.fault?.isMissing === true && members.value === undefined
  return (
    <>
      {isMissing ? (
        <MembersByStatus polled={status} parts={parts} />
      ) : (
        <Shown polled={members} what="the member list">
          {(value) => (
            <>
              <Waiting waiting={value.waiting} parts={parts} />
              {moves.value === undefined ? null : <Leaving moves={moves.value} parts={parts} />}
              <MemberTable
                members={value.members.map((member) => ({ ...member, ...liveOf(status, member) }))}
                certificates={certificates}
                parts={parts}
              />
              <p>
                <a href="/console/join" onClick={follow}>
                  Let another machine join
                </a>
              </p>
            </>
          )}
        </Shown>
      )}
      {moves.value === undefined || !mayChange ? null : <Pace moves={moves.value} parts={parts} />}
      {act === undefined ? null : (
        <Dialog
          key={act.title}
          title={act.title}
          confirm={act.confirm}
          isDangerous={act.isDangerous ?? false}
          isLast={act.isLast ?? false}
          onClose={() => open(undefined)}
          onConfirm={async (isForced) => {
            await act.run(isForced)
            again()
          }}
        >
          <p>{act.says}</p>
        </Dialog>
      )}
      {edited === undefined ? null : (
        <TextDialog
          key={edited.title}
          edit={edited}
          onClose={() => edit(undefined)}
          onChanged={again}
        />
      )}
      {labelled === undefined ? null : (
        <LabelsDialog
          name={labelled.name}
          id={labelled.id}
          labels={labelled.labels ?? {}}
          onClose={() => label(undefined)}
          onChanged={again}
        />
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
  readonly label: (row: Row) => void
  readonly edit: (edit: TextEdit) => void
}

function MembersByStatus({
  polled,
  parts,
}: {
  readonly polled: Polled<Status>
  readonly parts: Parts
}) {
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
            parts={parts}
          />
        )}
      </Shown>
    </>
  )
}

function MemberTable({
  members,
  certificates,
  parts,
}: {
  readonly members: readonly Row[]
  readonly certificates?: Certificates
  readonly parts: Parts
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
            <th scope="col">Disk</th>
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
                  {member.address}
                  {(member.version ?? '') === '' ? '' : ` · v${member.version}`}
                </span>
              </th>
              <td className="beside">
                <State state={member.state} />
              </td>
              <td data-label="Labels">
                <Labels member={member} parts={parts} />
              </td>
              <td data-label="Capabilities">
                <Capabilities member={member} parts={parts} />
              </td>
              <td data-label="Disk">
                <Fill
                  freeBytes={member.freeBytes ?? 0}
                  totalBytes={member.totalBytes ?? 0}
                  what={`Disk of ${member.name}`}
                />
              </td>
              <td data-label="Certificate ends">
                <CertificateEnd certificates={certificates} member={member.id} />
              </td>
              <td className="actions">
                {parts.mayChange ? <MemberActions member={member} parts={parts} /> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Labels({ member, parts }: { readonly member: Row; readonly parts: Parts }) {
  const entries = Object.entries(member.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return (
    <span className="labels">
      {entries.map(([key, value]) => (
        <span key={key} className="tag">
          {key}={value}
        </span>
      ))}
      {parts.mayChange && member.labels !== undefined ? (
        <button
          type="button"
          className="small"
          onClick={() => parts.label(member)}
          aria-label={`Edit the labels of ${member.name}`}
        >
          {entries.length === 0 ? 'Add' : 'Edit'}
        </button>
      ) : entries.length === 0 ? (
        <span className="faint">none</span>
      ) : null}
    </span>
  )
}

function Capabilities({ member, parts }: { readonly member: Row; readonly parts: Parts }) {
  const { caps, name } = member
  return (
    <span className="labels">
      <span>{capsText(caps)}</span>
      {parts.mayChange && caps !== undefined ? (
        <button
          type="button"
          className="small"
          onClick={() => parts.edit(capabilities({ ...member, caps }))}
          aria-label={`Edit the capabilities of ${name}`}
        >
          Edit
        </button>
      ) : null}
    </span>
  )
}

function capsText(caps: readonly string[] | undefined): string {
  if (caps === undefined) return '–'
  return caps.length === 0 ? 'all' : caps.join(', ')
}

function CertificateEnd({
  certificates,
  member,
}: {
  readonly certificates: Certificates | undefined
  readonly member: number
}) {
  const newest = newestOf(certificates?.value?.certificates ?? [], member)
  const nowMs = useNow(newest?.notAfterMs ?? 0)
  if (newest === undefined) {
    const isMissing = certificates === undefined || certificates.fault?.isMissing === true
    return (
      <span
        className="faint"
        title={isMissing ? 'The version of this node does not tell.' : 'The node does not answer.'}
      >
        not known
      </span>
    )
  }
  const worry = worryAbout(newest, nowMs)
  if (worry === 'none') return <Moment atMs={newest.notAfterMs} />
  const isEnded = worry === 'ended'
  return (
    <span className={`state ${isEnded ? 'bad' : 'warn'}`}>
      <span aria-hidden="true">{isEnded ? '■' : '▲'}</span> {isEnded ? 'ended ' : ''}
      <Moment atMs={newest.notAfterMs} />
      <span className="hidden">{isEnded ? '' : ', and should have been renewed by now'}</span>
    </span>
  )
}

function MemberActions({
  member,
  parts: { open, edit },
}: {
  readonly member: Row
  readonly parts: Parts
}) {
  const { name, state, address } = member
  const isDraining = state === 'draining'
  return (
    <>
      <button
        type="button"
        onClick={() => open(isDraining ? cancelDrain(member) : drain(member))}
        aria-label={`${isDraining ? 'Keep' : 'Drain'} ${name}`}
      >
        {isDraining ? 'Keep' : 'Drain'}
      </button>
      {address === undefined ? null : (
        <button
          type="button"
          onClick={() => edit(readdress({ ...member, address }))}
          aria-label={`Change the address of ${name}`}
        >
          Address
        </button>
      )}
      <button
        type="button"
        className="danger"
        onClick={() => open(remove(member))}
        aria-label={`Remove ${name}`}
      >
        Remove
      </button>
    </>
  )
}

/** Members that are being drained: what is left of each, how long it takes, and what comes then. */
function Leaving({ moves, parts }: { readonly moves: Moves; readonly parts: Parts }) {
  if (moves.draining.length === 0) return null
  return (
    <section className="card" aria-label="Leaving">
      <h2>Leaving</h2>
      <ul className="leaving">
        {moves.draining.map((one) => (
          <li key={one.id}>
            <DrainLine drained={one} parts={parts} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function DrainLine({ drained, parts }: { readonly drained: Drain; readonly parts: Parts }) {
  const { name, shardsLeft, bytesLeft, votesIn, leads, isDrained, isUp, estimateMs } = drained
  const steps: readonly (readonly [isDone: boolean, text: string])[] = [
    [leads.length === 0, leads.length === 0 ? 'leads no group' : `leads ${listed(leads)}`],
    [
      shardsLeft === 0,
      shardsLeft === 0
        ? 'holds no shards'
        : `holds ${counted(shardsLeft, 'shard')} yet${bytesLeft === 0 ? '' : ` (${size(bytesLeft)})`}`,
    ],
    [
      votesIn.length === 0,
      votesIn.length === 0 ? 'votes in no group' : `votes in ${listed(votesIn)}`,
    ],
  ]
  return (
    <>
      <div className="split">
        <strong>
          {name} <span className="faint">#{drained.id}</span>
        </strong>
        <span role="status">
          {isDrained
            ? 'Empty: it can be removed without loss.'
            : !isUp
              ? 'It does not answer: its shards are made again from the others.'
              : estimateMs < 0
                ? 'How long it takes cannot be told yet.'
                : estimateMs === 0
                  ? 'Almost done.'
                  : `About ${duration(Math.max(1_000, estimateMs))} left.`}
        </span>
      </div>
      <ul className="steps">
        {steps.map(([isDone, text]) => (
          <li key={text} className={isDone ? 'good' : 'faint'}>
            <span aria-hidden="true">{isDone ? '✓' : '…'}</span> {text}
          </li>
        ))}
      </ul>
      {parts.mayChange && isDrained ? (
        <p className="buttons start">
          <button
            type="button"
            className="primary"
            onClick={() => parts.open(remove(drained))}
            aria-label={`Remove ${name}, which is empty`}
          >
            Remove it now
          </button>
        </p>
      ) : null}
    </>
  )
}

const shares = [0.1, 0.3, 0.6, 1] as const

/** How fast shards move in the background. */
function Pace({ moves, parts }: { readonly moves: Moves; readonly parts: Parts }) {
  const { share, shardsLeft, bytesLeft, bytesPerSecond, estimateMs } = moves
  const percent = (of: number): string => `${Math.round(of * 100)} %`
  const known = shares.some((one) => one === share) ? shares : [...shares, share].sort()
  return (
    <section className="card">
      <h2>Moves in the background</h2>
      <p>
        {shardsLeft === 0
          ? 'Nothing moves now.'
          : `${counted(shardsLeft, 'shard')} to move (${size(bytesLeft)}), ${size(bytesPerSecond)} a second${estimateMs > 0 ? `, about ${duration(estimateMs)} left` : ''}.`}
      </p>
      <label className="line">
        They may use
        <select
          value={share}
          onChange={(event) => parts.open(setShare(Number(event.target.value)))}
        >
          {known.map((one) => (
            <option key={one} value={one}>
              {percent(one)}
            </option>
          ))}
        </select>
        of what disk and network give when idle
      </label>
    </section>
  )
}

function Waiting({
  waiting,
  parts,
}: {
  readonly waiting: readonly Enrolment[]
  readonly parts: Parts
}) {
  const { mayChange, open } = parts
  if (waiting.length === 0) return null
  return (
    <section className="card attention" aria-live="polite">
      <h2>
        {count(waiting.length)} {waiting.length === 1 ? 'machine waits' : 'machines wait'} to be let
        in
      </h2>
      <ul className="waiting">
        {waiting.map((enrolment) => {
          const { fingerprint, name, address, zone, requestedMs } = enrolment
          return (
            <li key={fingerprint}>
              <div>
                <strong>{name}</strong> at {address}, zone {zone || '–'}, asked{' '}
                <Moment atMs={requestedMs} />
                <br />
                <span className="faint">
                  Compare with what the machine shows: key <code>{keyWords(fingerprint)}</code> (
                  {fingerprint})
                </span>
              </div>
              {mayChange ? (
                <span className="actions">
                  <button
                    type="button"
                    className="primary"
                    onClick={() => open(approve(enrolment))}
                    aria-label={`Approve ${name}`}
                  >
                    Approve
                  </button>
                  <button
                    type="button"
                    onClick={() => open(reject(enrolment))}
                    aria-label={`Reject ${name}`}
                  >
                    Reject
                  </button>
                </span>
              ) : null}
            </li>
          )
        })}
      </ul>
    </section>
  )
}
