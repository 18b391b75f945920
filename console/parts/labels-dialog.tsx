// Labels of a node: what rules of placement speak of. Only what was changed is sent, so that two people who label the same node
// undo nothing of each other.

import { useState } from 'react'
import { change } from '../api.ts'
import { Dialog } from './dialog.tsx'

type Line = { readonly at: number; readonly key: string; readonly value: string }

const usual = ['region', 'dc', 'zone', 'rack', 'room', 'power'] as const
const linesMax = 32

export function LabelsDialog({
  name,
  id,
  labels,
  onClose,
  onChanged,
}: {
  readonly name: string
  readonly id: number
  /** As they were when it was opened. */
  readonly labels: Readonly<Record<string, string>>
  readonly onClose: () => void
  readonly onChanged: () => void
}) {
  const [before] = useState(labels)
  const [lines, setLines] = useState<readonly Line[]>(() => {
    const known = Object.entries(labels).map(([key, value], at) => ({ at, key, value }))
    return known.length > 0 ? known : [{ at: 0, key: '', value: '' }]
  })
  const set = (at: number, part: Partial<Line>): void =>
    setLines(lines.map((line) => (line.at === at ? { ...line, ...part } : line)))
  const add = (): void => {
    const at = Math.max(-1, ...lines.map((line) => line.at)) + 1
    setLines([...lines, { at, key: '', value: '' }])
  }
  return (
    <Dialog
      title={`Labels of ${name}`}
      confirm="Save"
      onClose={onClose}
      onConfirm={async () => {
        const changes = changesOf(before, lines)
        if (Object.keys(changes).length > 0) {
          await change('POST', `/cluster/nodes/${id}/labels`, changes)
        }
        onChanged()
      }}
    >
      <p>
        Free facts about the machine, such as its rack. Rules of placement keep the shards of an
        object apart by them.
      </p>
      <datalist id="usual-labels">
        {usual.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      {lines.map((line, position) => (
        <div className="label-line" key={line.at}>
          <input
            aria-label={`Label ${position + 1}`}
            placeholder="rack"
            list="usual-labels"
            value={line.key}
            maxLength={63}
            autoCapitalize="none"
            spellCheck={false}
            onChange={(event) => set(line.at, { key: event.target.value.trim() })}
          />
          <span aria-hidden="true">=</span>
          <input
            aria-label={`Value ${position + 1}`}
            placeholder="r12"
            value={line.value}
            maxLength={63}
            autoCapitalize="none"
            spellCheck={false}
            onChange={(event) => set(line.at, { value: event.target.value.trim() })}
          />
          <button
            type="button"
            className="small"
            aria-label={`Take label ${position + 1} away`}
            onClick={() => setLines(lines.filter(({ at }) => at !== line.at))}
          >
            ✕
          </button>
        </div>
      ))}
      {lines.length < linesMax ? (
        <button type="button" className="small" onClick={add}>
          Add a label
        </button>
      ) : null}
    </Dialog>
  )
}

/** New values by key; '' takes a label away. */
function changesOf(
  before: Readonly<Record<string, string>>,
  lines: readonly Line[],
): Readonly<Record<string, string>> {
  const wanted = new Map(
    lines.filter(({ key }) => key !== '').map(({ key, value }) => [key, value]),
  )
  const changes: Record<string, string> = {}
  for (const [key, value] of wanted) if ((before[key] ?? '') !== value) changes[key] = value
  for (const key of Object.keys(before)) if (!wanted.has(key)) changes[key] = ''
  return changes
}
