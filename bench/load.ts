// A lean S3 load: keep-alive connections, header signatures with UNSIGNED-PAYLOAD, the same for every server, and
// what it cost the server's processes (user + system time of /proc).

import { execFileSync } from 'node:child_process'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'

export type Target = {
  readonly name: string
  /** One or more endpoints; clients are spread over them. */
  readonly endpoints: readonly string[]
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
  readonly pids: readonly number[]
}

export type Figures = {
  readonly operations: number
  readonly seconds: number
  readonly mebibytesPerSecond: number
  readonly operationsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU of the server's processes per operation. */
  readonly serverCpuMsPerOperation: number
  readonly serverCpuMsPerMebibyte: number
  readonly residentMebibytes: number
  readonly failures: number
}

const clockTicksPerSecond = 100
const hmac = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest()
const signingKeys = new Map<string, Buffer>()

export class Client {
  readonly #target: Target
  readonly #url: URL
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(target: Target, position: number) {
    this.#target = target
    this.#url = new URL(target.endpoints[position % target.endpoints.length] ?? '')
  }

  /** Reads the response to its end; answers its status and how many bytes came. */
  send(
    method: string,
    target: string,
    body?: Buffer,
  ): Promise<{ readonly status: number; readonly bytes: number; readonly text: string }> {
    const headers = sign(this.#target, this.#url.host, { method, target })
    if (body !== undefined) headers['content-length'] = String(body.length)
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: this.#url.hostname,
          port: this.#url.port,
          method,
          path: target,
          headers,
          agent: this.#agent,
        },
        (response) => {
          let bytes = 0
          let text = ''
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length
            if (response.statusCode !== 200 || target.includes('list-type'))
              text += chunk.toString()
          })
          response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes, text }))
          response.on('error', reject)
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function sign(
  target: Target,
  host: string,
  sent: { readonly method: string; readonly target: string },
): Record<string, string> {
  const at = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = at.slice(0, 8)
  const [path = '/', query = ''] = sent.target.split('?')
  const canonical = `${sent.method}\n${path}\n${query.split('&').sort().join('&')}\nhost:${host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:${at}\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD`
  const scope = `${day}/${target.region}/s3/aws4_request`
  const hash = createHash('sha256').update(canonical).digest('hex')
  const keyName = `${target.secretAccessKey} ${scope}`
  let key = signingKeys.get(keyName)
  if (key === undefined) {
    key = hmac(`AWS4${target.secretAccessKey}`, day)
    for (const part of [target.region, 's3', 'aws4_request']) key = hmac(key, part)
    signingKeys.set(keyName, key)
  }
  const signature = createHmac('sha256', key)
    .update(`AWS4-HMAC-SHA256\n${at}\n${scope}\n${hash}`)
    .digest('hex')
  return {
    host,
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
    'x-amz-date': at,
    authorization: `AWS4-HMAC-SHA256 Credential=${target.accessKeyId}/${scope},SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=${signature}`,
  }
}

export type Load = {
  readonly clients: number
  /** Ends after this many seconds or operations, whichever is first. */
  readonly seconds: number
  readonly operationsMax: number
  readonly bytesPerOperation: number
  readonly operate: (client: Client, n: number) => Promise<boolean>
}

/** Closed loop: each client has one operation under way. */
export async function measure(target: Target, load: Load): Promise<Figures> {
  // What servers before this one left to the kernel would otherwise be written during our syncs.
  execFileSync('sync')
  const clients = Array.from({ length: load.clients }, (_, i) => new Client(target, i))
  const latencies: number[] = []
  let next = 0
  let failures = 0
  const cpuBefore = cpuMs(target.pids)
  const startedMs = performance.now()
  const endMs = startedMs + load.seconds * 1000
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < endMs && next < load.operationsMax) {
        const n = next++
        const beganMs = performance.now()
        const isGood = await load.operate(client, n).catch(() => false)
        if (isGood) latencies.push(performance.now() - beganMs)
        else failures++
      }
    }),
  )
  const seconds = (performance.now() - startedMs) / 1000
  const cpu = cpuMs(target.pids) - cpuBefore
  for (const client of clients) client.close()
  latencies.sort((a, b) => a - b)
  const operations = latencies.length
  const mebibytes = (operations * load.bytesPerOperation) / 1024 / 1024
  const at = (share: number) =>
    latencies[Math.min(operations - 1, Math.floor(operations * share))] ?? 0
  return {
    operations,
    seconds,
    mebibytesPerSecond: mebibytes / seconds,
    operationsPerSecond: operations / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    serverCpuMsPerOperation: cpu / Math.max(1, operations),
    serverCpuMsPerMebibyte: mebibytes === 0 ? 0 : cpu / mebibytes,
    residentMebibytes: residentMebibytes(target.pids),
    failures,
  }
}

/** User and system time of the processes so far. */
export function cpuMs(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return (ticks / clockTicksPerSecond) * 1000
}

/** The same by name of thread, summed over the processes. */
export function threadCpuMs(pids: readonly number[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>()
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const kernelName = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
      const name = thread === String(pid) ? 'core' : kernelName
      const ticks = Number(fields[11]) + Number(fields[12])
      sums.set(name, (sums.get(name) ?? 0) + (ticks / clockTicksPerSecond) * 1000)
    }
  }
  return sums
}

export function residentMebibytes(pids: readonly number[]): number {
  let kibibytes = 0
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    kibibytes += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  }
  return kibibytes / 1024
}

export function incompressible(bytes: number): Buffer {
  return randomBytes(bytes)
}
