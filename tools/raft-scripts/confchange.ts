// The commands of the membership scripts: simple, enter-joint, leave-joint on one configuration per file.

import {
  changeSimply,
  enterJoint,
  formatMembership,
  leaveJoint,
  type Reconfiguration,
} from '../../src/raft/core/confchange.ts'
import { formatProgress, type PeerProgress } from '../../src/raft/core/progress.ts'
import { Tracker } from '../../src/raft/core/tracker.ts'
import {
  parseBoolean,
  parseChanges,
  type ScriptCase,
  ScriptProblem,
  valuesOf,
} from './datadriven.ts'

export function confChangeSubject(): (script: ScriptCase) => string {
  const tracker = new Tracker({ messagesMax: 10, bytesMax: 0 })
  let lastIndex = 0
  return (script) => {
    try {
      const next = reconfigure(tracker, script)
      if (next.kind === 'refused') return next.reason
      tracker.adopt(next, lastIndex)
      return `${formatMembership(tracker.membership)}\n${describeProgress(tracker)}`
    } catch (problem) {
      if (problem instanceof ScriptProblem) return problem.message
      throw problem
    } finally {
      lastIndex++
    }
  }
}

function reconfigure(tracker: Tracker, { command, args, input }: ScriptCase): Reconfiguration {
  const { membership } = tracker
  const changes = parseChanges(input)
  switch (command) {
    case 'simple':
      return changeSimply(membership, changes)
    case 'enter-joint':
      return enterJoint(membership, valuesOf(args, 'autoleave').some(parseBoolean), changes)
    case 'leave-joint':
      if (changes.length > 0) throw new ScriptProblem('this command takes no input')
      return leaveJoint(membership)
    default:
      throw new ScriptProblem('unknown command')
  }
}

function describeProgress(tracker: Tracker): string {
  return tracker.ids
    .map((id) => `${id}: ${formatProgress((tracker.get(id) as PeerProgress).view())}\n`)
    .join('')
}
