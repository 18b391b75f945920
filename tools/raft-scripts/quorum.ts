// The commands of the quorum scripts: committed and vote, over a majority or a joint majority. Each result
// is computed in several ways that must agree; a disagreement is printed, and so fails the script.

import {
  type AckedIndex,
  type Ids,
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  unionIds,
  type VoteResult,
} from '../../src/raft/core/quorum.ts'
import { parseInteger, type ScriptCase, ScriptProblem, valuesOf } from './datadriven.ts'

const voteNames: Readonly<Record<VoteResult, string>> = {
  pending: 'VotePending',
  lost: 'VoteLost',
  won: 'VoteWon',
}

export function quorumSubject(): (script: ScriptCase) => string {
  return (script) => {
    try {
      return run(script)
    } catch (problem) {
      if (problem instanceof ScriptProblem) return problem.message
      throw problem
    }
  }
}

function run({ command, args }: ScriptCase): string {
  const cfg = valuesOf(args, 'cfg').map(parseInteger)
  const isJoint = args.some(({ key }) => key === 'cfgj')
  const cfgj = valuesOf(args, 'cfgj')
    .filter((value) => value !== 'zero')
    .map(parseInteger)
  const voters = sortedIds(cfg)
  const outgoing = sortedIds(cfgj)
  const inputs =
    command === 'vote'
      ? valuesOf(args, 'votes').map(parseVote)
      : valuesOf(args, 'idx').map((value) => (value === '_' ? 0 : parseInteger(value)))
  const union = unionIds(voters, outgoing)
  if (union.length !== inputs.length) {
    const names = union.map((id) => `${id}:{}`).join(' ')
    return `error: mismatched input (explicit or _) for voters map[${names}]: [${inputs.join(' ')}]`
  }
  const known = new Map<number, number>()
  for (const [i, id] of [...new Set([...cfg, ...cfgj])].entries()) {
    if (inputs[i] !== 0) known.set(id, inputs[i] as number)
  }
  if (command === 'vote') return describeVote(voters, outgoing, isJoint, known)
  if (command !== 'committed') return `unknown command: ${command}`
  return describeCommitted(voters, outgoing, isJoint, known)
}

function describeCommitted(
  voters: Ids,
  outgoing: Ids,
  isJoint: boolean,
  known: ReadonlyMap<number, number>,
): string {
  const acked = ackedOf(known)
  const index = isJoint ? jointCommitted(voters, outgoing, acked) : majorityCommitted(voters, acked)
  const others: [number, string][] = isJoint
    ? [[jointCommitted(outgoing, voters, acked), 'via symmetry']]
    : [
        [naiveCommitted(voters, known), 'via alternative computation'],
        [jointCommitted(voters, [], acked), 'via zero-joint quorum'],
        [jointCommitted(voters, voters, acked), 'via self-joint quorum'],
        ...overlaid(voters, known, index),
      ]
  let text = describeAcked(isJoint ? unionIds(voters, outgoing) : voters, known)
  for (const [other, how] of others) {
    if (other !== index) text += `${formatIndex(other)} <-- ${how}\n`
  }
  return `${text}${formatIndex(index)}\n`
}

function describeVote(
  voters: Ids,
  outgoing: Ids,
  isJoint: boolean,
  known: ReadonlyMap<number, number>,
): string {
  const votes = new Map([...known].map(([id, vote]) => [id, vote === 2]))
  if (!isJoint) return `${voteNames[majorityVote(voters, votes)]}\n`
  const result = jointVote(voters, outgoing, votes)
  const mirrored = jointVote(outgoing, voters, votes)
  const symmetry = mirrored === result ? '' : `${voteNames[mirrored]} <-- via symmetry\n`
  return `${symmetry}${voteNames[result]}\n`
}

/** A bar per voter, as long as the number of voters with a lower index. */
function describeAcked(ids: Ids, known: ReadonlyMap<number, number>): string {
  if (ids.length === 0) return '<empty majority quorum>'
  const width = ids.length
  let text = `${' '.repeat(width)}    idx\n`
  for (const id of ids) {
    const index = known.get(id) ?? 0
    const bar = ids.filter((other) => (known.get(other) ?? 0) < index).length
    text += known.has(id)
      ? `${'x'.repeat(bar)}>${' '.repeat(width - bar)}`
      : `?${' '.repeat(width)}`
    text += ` ${String(index).padStart(5)}    (id=${id.toString(16)})\n`
  }
  return text
}

/** The highest index that more than half of the voters have reached. */
function naiveCommitted(voters: Ids, known: ReadonlyMap<number, number>): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  let best = 0
  for (const candidate of known.values()) {
    const reached = voters.filter((id) => (known.get(id) ?? 0) >= candidate).length
    if (reached > voters.length / 2) best = Math.max(best, candidate)
  }
  return best
}

/** Lowering an index that lies below the committed one changes nothing. */
function overlaid(
  voters: Ids,
  known: ReadonlyMap<number, number>,
  index: number,
): [number, string][] {
  const results: [number, string][] = []
  for (const id of voters) {
    const own = known.get(id) ?? 0
    if (!(index > own && own > 0)) continue
    for (const lower of [own - 1, 0]) {
      const acked = ackedOf(new Map(known).set(id, lower))
      results.push([majorityCommitted(voters, acked), `overlaying ${id}->${lower}`])
    }
  }
  return results
}

function ackedOf(known: ReadonlyMap<number, number>): AckedIndex {
  return { ackedIndex: (id) => known.get(id) }
}

function formatIndex(index: number): string {
  return index === Number.POSITIVE_INFINITY ? '∞' : String(index)
}

/** 2 yes, 1 no, 0 not voted. */
function parseVote(text: string): number {
  const vote = ['_', 'n', 'y'].indexOf(text)
  if (vote < 0) throw new ScriptProblem(`unknown vote: ${text}`)
  return vote
}

function sortedIds(ids: readonly number[]): Ids {
  return [...new Set(ids)].sort((a, b) => a - b)
}
