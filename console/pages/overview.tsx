// How is it? Health in one sentence, then capacity, nodes, groups, and beside them what happens.

import { useState } from 'react'
import type { Certificate, ClusterEvent, GroupRow, NodeRow, Status } from '../answers.ts'
import { count, counted, duration, shortId, size, words } from '../format.ts'
import { type LiveMode, useLive } from '../live.ts'
import { type Concern, concernsOf } from '../parts/concerns.ts'
import { Empty, Shown } from '../parts/notices.tsx'
import { Fill, Meter, Moment, State, useNow } from '../parts/small.tsx'
import { usePolled } from '../polled.ts'

const statusMs = 2_000
const certificatesMs = 20_000
const groupsShown = 8
const eventsShown = 20

export function Overview() {
  const status = usePolled<Status>('/v1/status', statusMs)
  const certificates = usePolled<{ readonly certificates: readonly Certificate[] }>(
    '/v1/certificates',
    certificatesMs,
  )
  return (
    <div className="columns">
      <div>
        <Shown polled={status} what="the status">
          {(value) => (
            <>
              <Health status={value} certificates={certificates.value?.certificates ?? []} />
              <Figures status={value} />
              <NodeTable nodes={value.nodes} asked={value.askedNode} />
              <GroupTable groups={value.groups} nodes={value.nodes} />
            </>
          )}
        </Shown>
      </div>
      <Events />
    </div>
  )
}

function Health({
  status,
  certificates,
}: {
  readonly status: Status
  readonly certificates: readonly Certificate[]
}) {
  const concerns = concernsOf(status, certificates, useNow(0))
  const { length } = status.nodes
  if (concerns.length === 0) {
    const isWhole = status.underReplicatedShards === 0
    return (
      <div className="health good" role="status">
        <span className="sign" aria-hidden="true">
          ✓
        </span>
        <div>
          <strong>All is well</strong>
          <br />
          {counted(length, 'node')} online{isWhole ? ', all data fully redundant' : ''}.
        </div>
      </div>
    )
  }
  const isBad = concerns.some(({ kind }) => kind === 'bad')
  return (
    <div className={`health ${isBad ? 'bad' : 'warn'}`} role="status">
      <span className="sign" aria-hidden="true">
        {isBad ? '!' : '▲'}
      </span>
      <ul>
        {concerns.map((concern) => (
          <ConcernLine key={concern.text} {...concern} />
        ))}
      </ul>
    </div>
  )
}

function ConcernLine({ text, next }: Concern) {
  return (
    <li>
      <strong>{text}</strong>
      {next === undefined ? null : <span className="next"> Next: {next}.</span>}
    </li>
  )
}

function Figures({ status }: { readonly status: Status }) {
  const { totalBytes, freeBytes, liveBytes, objects, code, moves, underReplicatedShards } = status
  const used = Math.max(0, totalBytes - freeBytes)
  const online = status.nodes.filter(({ state }) => state === 'online').length
  const tiles: readonly (readonly [name: string, value: string, more: string])[] = [
    ['Nodes', `${online} of ${status.nodes.length}`, 'online'],
    ['Objects', objects < 0 ? '–' : count(objects), objects < 0 ? 'not known now' : 'stored'],
    ['Data', size(liveBytes), 'with redundancy'],
    [
      'Missing shards',
      underReplicatedShards < 0 ? '–' : count(underReplicatedShards),
      underReplicatedShards < 0 ? 'being counted' : 'to be made again',
    ],
  ]
  const isMoving = moves !== undefined && moves.shardsLeft > 0
  return (
    <section aria-label="Figures">
      <dl className="tiles">
        {tiles.map(([name, value, more]) => (
          <div key={name} className="card">
            <dt>{name}</dt>
            <dd>
              {value} <span className="faint">{more}</span>
            </dd>
          </div>
        ))}
      </dl>
      <div className="card capacity">
        <div>
          <span>
            <strong>{size(freeBytes)}</strong> free of {size(totalBytes)}
          </span>
          <span className="faint">
            {status.region} · redundancy {code.data}+{code.parity} · cluster{' '}
            <span title={status.clusterId}>{shortId(status.clusterId)}</span>
          </span>
        </div>
        <Meter part={used} whole={totalBytes} label={`${size(used)} of ${size(totalBytes)} used`} />
        {isMoving ? (
          <p className="faint">
            Moving {counted(moves.shardsLeft, 'shard')}, {size(moves.bytesLeft)} left.
          </p>
        ) : null}
      </div>
    </section>
  )
}

function NodeTable({
  nodes,
  asked,
}: {
  readonly nodes: readonly NodeRow[]
  readonly asked: number
}) {
  return (
    <section>
      <h2>Nodes</h2>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col" className="number">
              Up for
            </th>
            <th scope="col" className="number">
              Data
            </th>
            <th scope="col">Disk</th>
            <th scope="col" className="number">
              Memory
            </th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.id}>
              <th scope="row">
                {node.name} <span className="faint">#{node.id}</span>
                {node.id === asked ? <span className="tag">this one</span> : null}
              </th>
              <td className="beside">
                <State state={node.state} />
              </td>
              <td data-label="Up for" className="number">
                {node.uptimeMs === 0 ? '–' : duration(node.uptimeMs)}
              </td>
              <td data-label="Data" className="number">
                {size(node.liveBytes)}
              </td>
              <td data-label="Disk">
                <Fill
                  freeBytes={node.freeBytes}
                  totalBytes={node.totalBytes}
                  what={`Disk of ${node.name}`}
                />
              </td>
              <td data-label="Memory" className="number">
                {node.residentBytes === 0 ? '–' : size(node.residentBytes)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** One row for a group, as its leader has it, or else whoever is furthest. */
function bestOf(groups: readonly GroupRow[]): readonly GroupRow[] {
  const best = new Map<string, GroupRow>()
  for (const group of groups) {
    const known = best.get(group.name)
    const isBetter =
      known === undefined ||
      (known.role !== 'leader' && (group.role === 'leader' || group.commit > known.commit))
    if (isBetter) best.set(group.name, group)
  }
  // Those without a leader first: a thousand sound ones must not hide them.
  return [...best.values()].sort(
    (a, b) => Number(a.role === 'leader') - Number(b.role === 'leader'),
  )
}

function GroupTable({
  groups,
  nodes,
}: {
  readonly groups: readonly GroupRow[]
  readonly nodes: readonly NodeRow[]
}) {
  const [isWhole, setIsWhole] = useState(false)
  const all = bestOf(groups)
  const shown = isWhole ? all : all.slice(0, groupsShown)
  const nameOf = (id: number): string => nodes.find((node) => node.id === id)?.name ?? `#${id}`
  return (
    <section>
      <h2>Groups</h2>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Group</th>
            <th scope="col">Leader</th>
            <th scope="col">Voters</th>
            <th scope="col" className="number">
              Term
            </th>
            <th scope="col" className="number">
              Committed
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ name, role, leader, voters, learners, term, commit }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td data-label="Leader">
                {leader === 0 || role !== 'leader' ? (
                  <span className="state bad">
                    <span aria-hidden="true">■</span> none seen
                  </span>
                ) : (
                  nameOf(leader)
                )}
              </td>
              <td data-label="Voters">
                {voters.join(', ')}
                {learners.length === 0 ? '' : ` (learning: ${learners.join(', ')})`}
              </td>
              <td data-label="Term" className="number">
                {count(term)}
              </td>
              <td data-label="Committed" className="number">
                {count(commit)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > groupsShown ? (
        <p className="buttons">
          <button type="button" onClick={() => setIsWhole(!isWhole)}>
            {isWhole ? 'Show fewer' : `Show all ${count(all.length)} groups`}
          </button>
        </p>
      ) : null}
    </section>
  )
}

const modes: Readonly<Record<LiveMode, string>> = {
  opening: 'connecting',
  live: 'live',
  asking: 'every 2 s',
}

function Events() {
  const { mode, events, fault } = useLive()
  return (
    <section className="events-card card" aria-labelledby="events">
      <h2 id="events">
        Events{' '}
        <span className={`mode ${mode}`} role="status">
          {modes[mode]}
        </span>
      </h2>
      <Shown polled={{ value: events, fault, again: () => undefined }} what="the event list">
        {(all) =>
          all.length === 0 ? (
            <Empty>
              Nothing has happened yet. Machines that join, fall silent, return, drain or leave are
              told here.
            </Empty>
          ) : (
            <ol className="events" aria-live="polite" aria-relevant="additions">
              {all.slice(0, eventsShown).map((event) => (
                <EventLine key={event.number} {...event} />
              ))}
            </ol>
          )
        }
      </Shown>
    </section>
  )
}

const eventKinds: Readonly<Record<string, string>> = {
  'member-offline': 'bad',
  'member-suspect': 'warn',
  'member-draining': 'warn',
  'machine-waiting': 'warn',
  'member-removed': 'warn',
  'member-online': 'good',
  'member-joined': 'good',
  'member-drained': 'good',
  'member-kept': 'good',
}

function EventLine({ atMs, kind, text }: ClusterEvent) {
  return (
    <li className={eventKinds[kind] ?? ''}>
      <span className="kind">{words(kind)}</span> <Moment atMs={atMs} />
      <span className="what">{text}</span>
    </li>
  )
}
