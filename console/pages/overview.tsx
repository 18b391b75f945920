// How is it? Health in one sentence, then capacity, nodes, groups and what happened.

import type { ClusterEvent, GroupRow, NodeRow, Status } from '../answers.ts'
import { count, duration, shortId, size } from '../format.ts'
import { Empty, Shown } from '../parts/notices.tsx'
import { Bar, Moment, State } from '../parts/small.tsx'
import { usePolled } from '../polled.ts'

const statusMs = 2_000
const eventsShown = 20

export function Overview() {
  const status = usePolled<Status>('/v1/status', statusMs)
  return (
    <Shown polled={status} what="the status">
      {(value) => (
        <>
          <Health status={value} />
          <Figures status={value} />
          <NodeTable nodes={value.nodes} asked={value.askedNode} />
          <GroupTable groups={value.groups} />
          <Events />
        </>
      )}
    </Shown>
  )
}

type Concern = { readonly kind: 'bad' | 'warn'; readonly text: string }

/** What is wrong, the worst first. */
export function concernsOf({
  nodes,
  groups,
  underReplicatedShards,
  damagedShards,
}: Status): readonly Concern[] {
  const named = (state: string): readonly string[] =>
    nodes.filter((node) => node.state === state).map((node) => node.name)
  const leaderless = [...new Set(groups.map((group) => group.name))].filter(
    (name) => !groups.some((group) => group.name === name && group.role === 'leader'),
  )
  const concerns: (Concern | undefined)[] = [
    leaderless.length > 0
      ? { kind: 'bad', text: `No leader is seen of ${leaderless.join(', ')}.` }
      : undefined,
    offline(named('offline')),
    underReplicatedShards > 0
      ? {
          kind: 'warn',
          text: `${count(underReplicatedShards)} shards are missing and being made again.`,
        }
      : undefined,
    damagedShards > 0
      ? { kind: 'warn', text: `${count(damagedShards)} shards were found damaged.` }
      : undefined,
    named('suspect').length > 0
      ? { kind: 'warn', text: `${named('suspect').join(', ')} does not answer as it should.` }
      : undefined,
    named('draining').length > 0
      ? { kind: 'warn', text: `${named('draining').join(', ')} is being drained.` }
      : undefined,
  ]
  return concerns.filter((concern) => concern !== undefined)
}

function offline(names: readonly string[]): Concern | undefined {
  if (names.length === 0) return undefined
  return { kind: 'bad', text: `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} offline.` }
}

function Health({ status }: { readonly status: Status }) {
  const concerns = concernsOf(status)
  if (concerns.length === 0) {
    const { length } = status.nodes
    return (
      <p className="notice good" role="status">
        All is well: {length} {length === 1 ? 'node' : 'nodes'} online
        {status.underReplicatedShards === 0 ? ', all data fully redundant' : ''}.
      </p>
    )
  }
  return (
    <ul className="concerns" role="status">
      {concerns.map(({ kind, text }) => (
        <li key={text} className={`notice ${kind}`}>
          {text}
        </li>
      ))}
    </ul>
  )
}

function Figures({ status }: { readonly status: Status }) {
  const { totalBytes, freeBytes, liveBytes, objects, code, moves } = status
  const used = Math.max(0, totalBytes - freeBytes)
  const figures: readonly (readonly [string, string])[] = [
    ['Cluster', shortId(status.clusterId)],
    ['Region', status.region],
    ['Redundancy', `${code.data} + ${code.parity}`],
    ['Objects', objects < 0 ? 'not known' : count(objects)],
    ['Stored', size(liveBytes)],
    ['Free', `${size(freeBytes)} of ${size(totalBytes)}`],
    [
      'Missing shards',
      status.underReplicatedShards < 0 ? 'being counted' : count(status.underReplicatedShards),
    ],
    ...(moves === undefined || moves.shardsLeft === 0
      ? []
      : ([
          ['Moving', `${count(moves.shardsLeft)} shards, ${size(moves.bytesLeft)} left`],
        ] as const)),
  ]
  return (
    <section className="card" aria-label="Figures">
      <dl className="figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd title={name === 'Cluster' ? status.clusterId : undefined}>{value}</dd>
          </div>
        ))}
      </dl>
      <Bar part={used} whole={totalBytes} label={`${size(used)} of ${size(totalBytes)} used`} />
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
              Stored
            </th>
            <th scope="col" className="number">
              Free
            </th>
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
                {node.id === asked ? <span className="faint"> (this one)</span> : null}
              </th>
              <td data-label="State">
                <State state={node.state} />
              </td>
              <td data-label="Up for" className="number">
                {node.uptimeMs === 0 ? '–' : duration(node.uptimeMs)}
              </td>
              <td data-label="Stored" className="number">
                {size(node.liveBytes)}
              </td>
              <td data-label="Free" className="number">
                {node.totalBytes === 0 ? '–' : `${size(node.freeBytes)}`}
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
function GroupTable({ groups }: { readonly groups: readonly GroupRow[] }) {
  const best = new Map<string, GroupRow>()
  for (const group of groups) {
    const known = best.get(group.name)
    const isBetter =
      known === undefined ||
      (known.role !== 'leader' && (group.role === 'leader' || group.commit > known.commit))
    if (isBetter) best.set(group.name, group)
  }
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
          {[...best.values()].map(({ name, leader, voters, learners, term, commit }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td data-label="Leader">
                {leader === 0 ? <State state="none" /> : `node ${leader}`}
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
    </section>
  )
}

function Events() {
  const polled = usePolled<{ readonly events: readonly ClusterEvent[] }>(
    `/cluster/events?limit=${eventsShown}`,
    statusMs,
  )
  return (
    <section>
      <h2>Events</h2>
      <Shown polled={polled} what="the event list">
        {({ events }) =>
          events.length === 0 ? (
            <Empty>Nothing has happened yet.</Empty>
          ) : (
            <ol className="events" aria-live="polite" aria-relevant="additions">
              {events.map(({ number, atMs, kind, text }) => (
                <li key={number}>
                  <Moment atMs={atMs} /> <span className="kind">{kind}</span> {text}
                </li>
              ))}
            </ol>
          )
        }
      </Shown>
    </section>
  )
}
