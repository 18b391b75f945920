// Placements per second of one core in a fleet of 1,000 labelled members, and how much moves when members come and go.
//
// npm run bench -- placement [placements, default 10,000,000] [members, default 1,000]

import { nodeId } from '../src/base/index.ts'
import { type Member, type PlacementRule, PlacementTable } from '../src/cluster/index.ts'

const rule: PlacementRule = {
  dataShards: 2,
  parityShards: 1,
  minDistinct: { dc: 2, rack: 3 },
  weights: 'capacity',
  repairAfterMs: 0,
}
const options = { count: 3, isUp: () => true }

export async function run(args: readonly string[]): Promise<void> {
  const placements = Number(args[0] ?? 10_000_000)
  const members = fleet(Number(args[1] ?? 1_000))
  const table = new PlacementTable(members, rule)
  countMoved(table, table, 50_000)
  const before = process.cpuUsage()
  const held = count(table, placements)
  const used = process.cpuUsage(before)
  const seconds = (used.user + used.system) / 1e6
  console.log(
    `${placements} placements on ${members.length} members: ${seconds.toFixed(1)} s of CPU, ${Math.round(placements / seconds)} per second (aim: 200000)`,
  )
  console.log(`shards against the share of capacity: ${spread(members, held, placements)}`)
  const sample = Math.min(placements, 200_000)
  const came = { ...(members[0] as Member), id: nodeId(members.length + 1) }
  const grown = countMoved(table, new PlacementTable([...members, came], rule), sample)
  const taken = grown.to.get(came.id) ?? 0
  console.log(
    `one member more: ${grown.moved} shards moved, ${taken} to it: ${ratio(grown.moved, taken)} times the minimum (aim: 1.05)`,
  )
  const gone = members[Math.floor(members.length / 2)] as Member
  const left = members.filter((member) => member !== gone)
  const shrunk = countMoved(new PlacementTable(left, rule), table, sample)
  const lost = shrunk.to.get(gone.id) ?? 0
  console.log(
    `one member less: ${shrunk.moved} shards moved, ${lost} were on it: ${ratio(shrunk.moved, lost)} times the minimum (aim: 1.05)`,
  )
}

/** Five data centres, racks of twenty, disks of 1 to 4 TiB. */
function fleet(count: number): Member[] {
  const address = { host: '10.0.0.1', port: 1 }
  return Array.from({ length: count }, (_, at) => ({
    id: nodeId(at + 1),
    name: `node-${at + 1}`,
    state: 'online',
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: { dc: `dc-${at % 5}`, rack: `rack-${at % 5}-${Math.floor(at / 100)}` },
    caps: [],
    version: '',
    capacityBytes: (1 + (at % 4)) * 2 ** 40,
    replaces: undefined,
  }))
}

/** Chunk ids are random: these are the numbers, scrambled enough. */
function writeChunk(view: DataView, number: number): Uint8Array {
  view.setUint32(0, number)
  view.setUint32(8, Math.imul(number, 0x9e3779b1))
  return new Uint8Array(view.buffer)
}

function count(table: PlacementTable, placements: number): Float64Array {
  const held = new Float64Array(65_536)
  const view = new DataView(new ArrayBuffer(16))
  const chunk = writeChunk(view, 0)
  for (let number = 0; number < placements; number++) {
    view.setUint32(0, number)
    view.setUint32(8, Math.imul(number, 0x9e3779b1))
    for (const id of table.choose(chunk, options)) held[id] = (held[id] as number) + 1
  }
  return held
}

function spread(members: readonly Member[], held: Float64Array, placements: number): string {
  const total = members.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0)
  const shares = members.map(({ id, capacityBytes }) => {
    return (held[id] as number) / ((placements * 3 * capacityBytes) / total)
  })
  const low = shares.reduce((a, b) => Math.min(a, b))
  const high = shares.reduce((a, b) => Math.max(a, b))
  return `${low.toFixed(3)} to ${high.toFixed(3)}`
}

function countMoved(before: PlacementTable, after: PlacementTable, chunks: number) {
  const view = new DataView(new ArrayBuffer(16))
  const to = new Map<number, number>()
  let moved = 0
  for (let number = 0; number < chunks; number++) {
    const chunk = writeChunk(view, number)
    const was = before.choose(chunk, options)
    for (const id of after.choose(chunk, options)) {
      if (was.includes(id)) continue
      moved++
      to.set(id, (to.get(id) ?? 0) + 1)
    }
  }
  return { moved, to }
}

function ratio(moved: number, least: number): string {
  return (moved / least).toFixed(3)
}
