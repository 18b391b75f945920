// `npm run sqllogictest -- DIR`: plays every *.test below the folder against three nodes of its own, and says where something
// was otherwise than the files say. Ends with status 1 then.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { startCluster } from '../../e2e/cluster.ts'
import { type Played, playScript, type Served } from './play.ts'

const portOffset = 13_900
const filesAtOnce = 2

const [folder] = process.argv.slice(2)
if (folder === undefined) {
  process.stderr.write('usage: npm run sqllogictest -- DIR\n')
  process.exit(2)
}
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test'))
  .sort()
const dataDir = mkdtempSync(join(tmpdir(), 'atoll-sqllogictest-'))
const cluster = await startCluster({ portOffset, dataDir, args: ['--sql'] })
let failures = 0
try {
  const { accessKeyId: user, secretAccessKey: password, nodes } = cluster.line
  const urls = nodes.map(({ admin }) => `http://${new URL(admin).hostname}:${4001 + portOffset}`)
  const served = { urls, user, password }
  let next = 0
  const totals = { statements: 0, queries: 0 }
  const player = async (): Promise<void> => {
    while (next < files.length) {
      const number = next++
      const played = await playFile(served, { number, path: join(folder, files[number] ?? '') })
      totals.statements += played.statements
      totals.queries += played.queries
      failures += played.failures.length
    }
  }
  await Promise.all(Array.from({ length: filesAtOnce }, player))
  const { statements, queries } = totals
  const counts = `${files.length} files, ${statements} statements, ${queries} queries`
  process.stdout.write(`${counts}: ${failures} failures; replicas equal\n`)
} finally {
  await cluster.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
process.exit(failures === 0 ? 0 : 1)

async function playFile(
  served: Served,
  { number, path }: { readonly number: number; readonly path: string },
): Promise<Played> {
  const startMs = Date.now()
  const played = await playScript(served, `f${number}`, readFileSync(path, 'utf8'))
  const { statements, queries, digest } = played
  const seconds = ((Date.now() - startMs) / 1000).toFixed(1)
  const counts = `${statements} statements, ${queries} queries, ${seconds} s, entry ${digest.slice(0, 20)}`
  process.stdout.write(`${basename(path)}: ${counts}\n`)
  for (const failure of played.failures) process.stdout.write(`  ${failure}\n`)
  return played
}
