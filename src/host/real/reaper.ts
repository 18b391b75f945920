// Ends what a node has started when the node itself is gone, however it went. A child learns of that by the end of its
// standard input, but not while it is inside a statement of SQLite, which nothing interrupts; the next node would find the
// file held for as long as that takes. So one shell per node, started with its first child, knows their numbers and kills
// those that are left when its own standard input ends.

import { type ChildProcess, spawn } from 'node:child_process'

/** Lines '+ pid' and '- pid'; the end of them is the node's. */
const script = `
left=' '
while read -r what pid; do
  case $what in
    +) left="$left$pid " ;;
    -) case $left in *" $pid "*) left="\${left%% $pid *} \${left#* $pid }" ;; esac ;;
  esac
done
for pid in $left; do kill -9 "$pid" 2>/dev/null; done
`

let shell: ChildProcess | undefined

/** Answers what to call when it has ended by itself. Without a shell on the machine nothing watches. */
export function watchOver(pid: number): () => void {
  shell ??= start()
  const { stdin } = shell
  stdin?.write(`+ ${pid}\n`)
  return () => void stdin?.write(`- ${pid}\n`)
}

function start(): ChildProcess {
  // A session of its own: what a terminal sends to the node's group would end it first.
  const started = spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
    detached: true,
  })
  started.on('error', () => undefined)
  started.stdin?.on('error', () => undefined)
  started.on('exit', () => {
    if (shell === started) shell = undefined
  })
  started.unref()
  const { stdin } = started
  if (stdin !== null && 'unref' in stdin) (stdin as { unref(): void }).unref()
  return started
}
