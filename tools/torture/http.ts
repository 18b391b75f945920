// Requests to gateways, with outcomes as a history needs them: an answer, certainly nothing, or unknown.

import { Agent, type IncomingMessage, request } from 'node:http'

/** What came of a request that may have had an effect. */
export type Outcome<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  /** It never reached a node. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown'; readonly why: string }

export type Answer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const answerBytesMax = 64 * 1024 * 1024

export function closeConnections(): void {
  agent.destroy()
}

export type Ask = {
  readonly host: string
  readonly port: number
  readonly method: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly timeoutMs: number
}

export function ask(options: Ask): Promise<Outcome<Answer>> {
  const { host, port, method, target, headers = {}, body, timeoutMs } = options
  return new Promise((resolve) => {
    const asked = request({ host, port, method, path: target, headers, agent }, (response) => {
      const parts: Buffer[] = []
      let bytes = 0
      response.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > answerBytesMax) asked.destroy(new Error('the answer is too long'))
        parts.push(part)
      })
      response.on('error', (error) => end({ kind: 'unknown', why: error.message }))
      response.on('end', () => {
        const { statusCode: status = 0 } = response
        if (!response.complete) end({ kind: 'unknown', why: 'the answer broke off' })
        else {
          const answer = { status, headers: response.headers, body: Buffer.concat(parts) }
          end({ kind: 'answered', answer })
        }
      })
    })
    const timer = setTimeout(() => asked.destroy(new Error('no answer in time')), timeoutMs)
    const end = (outcome: Outcome<Answer>): void => {
      clearTimeout(timer)
      resolve(outcome)
    }
    asked.on('error', (error: NodeJS.ErrnoException) => {
      const isRefused = error.code === 'ECONNREFUSED' || error.code === 'EHOSTUNREACH'
      end(isRefused ? { kind: 'refused' } : { kind: 'unknown', why: error.message })
    })
    asked.end(body)
  })
}

/** A request whose answer is read line by line, until either side ends it. */
export function askForLines(
  options: Omit<Ask, 'timeoutMs'>,
  onLine: (line: string) => void,
): { readonly ended: Promise<void>; readonly cancel: () => void } {
  const { host, port, method, target, headers = {}, body } = options
  const asked = request({ host, port, method, path: target, headers, agent: false })
  const ended = new Promise<void>((resolve) => {
    asked.on('error', () => resolve())
    asked.on('close', () => resolve())
    asked.on('response', (response) => {
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') onLine(line)
      })
      response.on('error', () => resolve())
      response.on('close', () => resolve())
    })
  })
  asked.end(body)
  return { ended, cancel: () => asked.destroy() }
}
