// S3 throughput and latency beside running peers, each row of all servers in one run.
//
//   npm run bench -- s3
//   npm run bench -- s3 --peer 'name=minio;endpoints=http://127.0.0.1:9100;key=K;secret=S;region=us-east-1;pids=1,2'
//
// Ours runs with sync on, TLS between nodes and 2+1 coding. State for each peer whether it syncs and encrypts.

import { parseArgs } from 'node:util'
import { Client, type Figures, incompressible, type Load, measure, type Target } from './load.ts'
import { startOurs } from './ours.ts'

const bucket = 'bench'
const mebibyte = 1024 * 1024

type Row = {
  readonly name: string
  readonly bytes: number
  readonly clients: number
  readonly most: number
}
const rows: readonly Row[] = [
  { name: '1 MiB', bytes: mebibyte, clients: 10, most: 3000 },
  { name: '4 KiB', bytes: 4096, clients: 32, most: 60_000 },
  { name: '64 MiB', bytes: 64 * mebibyte, clients: 4, most: 60 },
]

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: 'string', multiple: true, default: [] },
      seconds: { type: 'string', default: '8' },
      warm: { type: 'string', default: '5' },
      keys: { type: 'string', default: '100000' },
      'data-threads': { type: 'string' },
      rows: { type: 'string', default: '1 MiB,4 KiB,64 MiB,list' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(
      'options: --seconds N, --warm N, --keys N, --data-threads 0|1, --rows LIST, --peer SPEC (repeatable)',
    )
    return
  }
  const time = { seconds: Number(values.seconds), warmSeconds: Number(values.warm) }
  const threads = values['data-threads']
  const chosen = values.rows.split(',')
  const ours = await startOurs(threads === undefined ? [] : ['--data-threads', threads])
  try {
    const targets = [ours.target, ...values.peer.map(parsePeer)]
    for (const target of targets) await new Client(target, 0).send('PUT', `/${bucket}`)
    for (const row of rows) if (chosen.includes(row.name)) await runRow(targets, row, time)
    if (chosen.includes('list')) await runList(targets, Number(values.keys))
  } finally {
    await ours.cluster.stop()
  }
}

function parsePeer(spec: string): Target {
  const fields = Object.fromEntries(spec.split(';').map((part) => part.split(/=(.*)/s).slice(0, 2)))
  return {
    name: fields.name ?? 'peer',
    endpoints: (fields.endpoints ?? '').split(','),
    accessKeyId: fields.key ?? '',
    secretAccessKey: fields.secret ?? '',
    region: fields.region ?? 'us-east-1',
    pids: (fields.pids ?? '').split(',').filter(Boolean).map(Number),
  }
}

/** Each load runs for a while before it is measured: servers that compile as they run are not judged cold. */
async function runRow(
  targets: readonly Target[],
  row: Row,
  { seconds, warmSeconds }: { readonly seconds: number; readonly warmSeconds: number },
): Promise<void> {
  const body = incompressible(row.bytes)
  const shared = { clients: row.clients, operationsMax: row.most, bytesPerOperation: row.bytes }
  const put = (seconds: number): Load => ({
    ...shared,
    seconds,
    operate: async (client, n) =>
      (await client.send('PUT', `/${bucket}/${row.bytes}/${n}`, body)).status === 200,
  })
  const puts: Figures[] = []
  const gets: Figures[] = []
  for (const target of targets) {
    await measure(target, put(warmSeconds))
    puts.push(await measure(target, put(seconds)))
    const stored = Math.max(1, puts.at(-1)?.operations ?? 1)
    const get = (seconds: number): Load => ({
      ...shared,
      seconds,
      operate: async (client, n) => {
        const target = `/${bucket}/${row.bytes}/${n % stored}`
        const { status, bytes } = await client.send('GET', target)
        return status === 200 && bytes === row.bytes
      },
    })
    await measure(target, get(warmSeconds))
    gets.push(await measure(target, get(seconds)))
  }
  print(`PUT ${row.name}, ${row.clients} clients`, targets, puts)
  print(`GET ${row.name}, ${row.clients} clients`, targets, gets)
}

async function runList(targets: readonly Target[], keys: number): Promise<void> {
  const figures: Figures[] = []
  for (const target of targets) {
    const filled = await measure(target, {
      clients: 32,
      seconds: 180,
      operationsMax: keys,
      bytesPerOperation: 0,
      operate: async (client, n) =>
        (await client.send('PUT', `/${bucket}/list/${String(n).padStart(8, '0')}`, Buffer.alloc(0)))
          .status === 200,
    })
    let listed = 0
    const figure = await measure(target, {
      clients: 1,
      seconds: 120,
      operationsMax: 1,
      bytesPerOperation: 0,
      operate: async (client) => {
        listed = await listAll(client)
        return true
      },
    })
    console.log(
      `${target.name}: ${filled.operations} keys stored, ${listed} listed in ${figure.seconds.toFixed(2)} s`,
    )
    figures.push({ ...figure, operationsPerSecond: listed / figure.seconds })
  }
  print(`LIST, pages of 1,000, keys per second`, targets, figures)
}

async function listAll(client: Client): Promise<number> {
  let count = 0
  let token = ''
  do {
    const from = token === '' ? '' : `continuation-token=${encodeURIComponent(token)}&`
    const { text } = await client.send('GET', `/${bucket}?${from}list-type=2&prefix=list%2F`)
    count += text.split('<Key>').length - 1
    token = /<NextContinuationToken>([^<]*)</.exec(text)?.[1] ?? ''
  } while (token !== '')
  return count
}

function print(title: string, targets: readonly Target[], figures: readonly Figures[]): void {
  console.log(`\n${title}`)
  const best = Math.max(...figures.slice(1).map((one) => one.operationsPerSecond), 0)
  figures.forEach((one, i) => {
    const parts = [
      (targets[i]?.name ?? '').padEnd(10),
      `${one.mebibytesPerSecond.toFixed(1)} MiB/s`,
      `${one.operationsPerSecond.toFixed(0)}/s`,
      `p50 ${one.p50Ms.toFixed(1)} ms`,
      `p99 ${one.p99Ms.toFixed(1)} ms`,
      `CPU ${one.serverCpuMsPerMebibyte.toFixed(2)} ms/MiB`,
      `${(one.serverCpuMsPerOperation * 1000).toFixed(0)} us/op`,
      `${one.residentMebibytes.toFixed(0)} MiB resident`,
      `${one.failures} failed`,
    ]
    if (i === 0 && best > 0)
      parts.push(`ratio to the best peer ${(one.operationsPerSecond / best).toFixed(2)}`)
    console.log(`  ${parts.join('  ')}`)
  })
}
