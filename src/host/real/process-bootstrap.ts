// The first module of a process that a node starts: its port is standard input and output, the first message the
// program's input. The end of standard input is the end of the node, and of this process.

import { writeSync } from 'node:fs'
import { assert } from '../../base/index.ts'
import type { Port, ProcessProgram } from '../host.ts'
import { realClock } from './clock.ts'
import { FrameReader, frameParts } from './frames.ts'

class StandardPort implements Port {
  onMessage: (message: Uint8Array) => void = () => undefined

  send(message: Uint8Array): void {
    for (const part of frameParts(message)) writeAll(part)
  }

  close(): void {
    process.exit(0)
  }
}

/** A pipe takes what it has room for; the reader is the node, which always reads on. */
function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at)
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'EAGAIN') throw error
    }
  }
}

const [, , name = '', moduleUrl = '', exportName = ''] = process.argv
process.title = name
const port = new StandardPort()
const module: Record<string, unknown> = await import(moduleUrl)
const program = module[exportName]
assert(isRun(program), `${exportName} is a function of ${moduleUrl}`)

let isStarted = false
const reader = new FrameReader((message) => {
  if (isStarted) return port.onMessage(message)
  isStarted = true
  program(port, message, realClock).catch((error: unknown) => {
    process.stderr.write(`${name}: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(70)
  })
})
process.stdin.on('data', (slice: Uint8Array) => reader.push(slice))
process.stdin.on('end', () => process.exit(0))

function isRun(value: unknown): value is ProcessProgram['run'] {
  return typeof value === 'function'
}
