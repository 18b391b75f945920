// `atoll admin services`: what runs where, by the nodes' own word.

import * as v from 'valibot'
import { type AskOptions, askNode } from './admin-tokens.ts'
import { table } from './status-text.ts'
import { answer } from './terminal.ts'

const schema = v.object({
  services: v.array(
    v.object({
      name: v.string(),
      about: v.string(),
      isHere: v.boolean(),
      settings: v.record(v.string(), v.unknown()),
      nodes: v.array(
        v.object({
          id: v.number(),
          name: v.string(),
          isWanted: v.boolean(),
          runs: v.optional(v.boolean()),
        }),
      ),
    }),
  ),
})
type Row = v.InferOutput<typeof schema>['services'][number]

export async function listServices(options: AskOptions): Promise<number> {
  const given = v.parse(schema, await askNode(options, { method: 'GET', path: '/v1/services' }))
  if (options.isJson) answer(JSON.stringify(given))
  else answer(table(['service', 'runs on', 'settings', 'is'], given.services.map(rowOf)).join('\n'))
  return 0
}

function rowOf(service: Row): readonly string[] {
  const settings = Object.entries(service.settings).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return [service.name, placesOf(service), settings.join(' '), service.about]
}

function placesOf({ isHere, nodes }: Row): string {
  if (!isHere) {
    const asked = nodes.filter(({ isWanted }) => isWanted).length
    return `nowhere: not in this version${asked === 0 ? '' : `, asked for on ${asked}`}`
  }
  const running = nodes.filter(({ runs }) => runs === true).map(({ name }) => name)
  const silent = nodes.filter(({ runs }) => runs === undefined).map(({ name }) => `${name}?`)
  return [...running, ...silent].join(',') || 'nowhere'
}
