// The core's end of the data thread: starting it, asking it, stopping it within a bounded time.

import { Fault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { type Keyspaces, serveKeyspaces } from '../keyspace/index.ts'
import { encodeConfig, type NodeConfig } from './config.ts'
import { dataThread } from './data-thread.ts'
import { laneMessageCodec, type ScrubResult } from './lane-messages.ts'
import { laneChannel, muxPort } from './port-mux.ts'
import type { LaneStatus } from './status.ts'

export type Lane = {
  /** Undefined when it does not answer in time. */
  status(): Promise<LaneStatus | undefined>
  /** Verifies every shard of this node now. */
  scrub(): Promise<ScrubResult>
  stop(): Promise<void>
}

const statusDeadlineMs = 1_500
const stopDeadlineMs = 8_000
const statusWaitingMax = 256
const scrubbingMax = 4
const niceness = 10

/** Settles when the gateways serve; rejects with the Fault that kept them from it. */
export async function startLane(
  host: Host,
  { config, keyspaces }: { readonly config: NodeConfig; readonly keyspaces: Keyspaces },
): Promise<Lane> {
  const thread = await host.threads.start(dataThread, encodeConfig(config), { nice: niceness })
  const [keyspacePort, control] = muxPort(thread.port, laneChannel.count)
  if (keyspacePort === undefined || control === undefined) {
    throw new Fault('internal', 'the port to the data thread has too few channels')
  }
  serveKeyspaces(keyspacePort, keyspaces)
  const waiting = new Map<number, (status: LaneStatus) => void>()
  const scrubbing = new Map<number, (result: ScrubResult | Fault) => void>()
  let requests = 0
  let onStopped: (() => void) | undefined
  await new Promise<void>((resolve, reject) => {
    control.onMessage = (bytes) => {
      const told = laneMessageCodec.decode(bytes)
      if (told.kind === 'serving') resolve()
      else if (told.kind === 'failed') reject(told.fault)
      else if (told.kind === 'status') waiting.get(told.request)?.(told.status)
      else if (told.kind === 'scrubbed') {
        scrubbing.get(told.request)?.(told.result)
        scrubbing.delete(told.request)
      } else if (told.kind === 'stopped') onStopped?.()
    }
  })
  return {
    async status() {
      if (waiting.size >= statusWaitingMax) throw new Fault('overloaded', 'too many ask for status')
      const request = ++requests
      const answered = new Promise<LaneStatus>((resolve) => waiting.set(request, resolve))
      control.send(laneMessageCodec.encode({ kind: 'status-wanted', request }))
      const late = host.clock.sleep(statusDeadlineMs).then(() => undefined)
      const status = await Promise.race([answered, late])
      waiting.delete(request)
      return status
    },
    async scrub() {
      if (scrubbing.size >= scrubbingMax) throw new Fault('overloaded', 'a scrub is under way')
      const request = ++requests
      const scrubbed = new Promise<ScrubResult | Fault>((resolve) =>
        scrubbing.set(request, resolve),
      )
      control.send(laneMessageCodec.encode({ kind: 'scrub-wanted', request }))
      const result = await scrubbed
      if (result instanceof Fault) throw result
      return result
    },
    async stop() {
      const stopped = new Promise<void>((resolve) => {
        onStopped = resolve
      })
      control.send(laneMessageCodec.encode({ kind: 'stop' }))
      await Promise.race([stopped, host.clock.sleep(stopDeadlineMs)])
      await thread.stop()
    },
  }
}
