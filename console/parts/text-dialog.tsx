// A question with one line of text as its answer: the capabilities of a node, its address, a setting.

import { type ReactNode, useId, useState } from 'react'
import { Dialog } from './dialog.tsx'

export type TextEdit = {
  readonly title: string
  readonly says: ReactNode
  /** Of the field. */
  readonly label: string
  readonly hint?: string
  /** As it is now. */
  readonly value: string
  readonly confirm: string
  readonly save: (value: string) => Promise<unknown>
}

export function TextDialog({
  edit,
  onClose,
  onChanged,
}: {
  readonly edit: TextEdit
  readonly onClose: () => void
  readonly onChanged: () => void
}) {
  const [value, setValue] = useState(edit.value)
  const hint = useId()
  return (
    <Dialog
      title={edit.title}
      confirm={edit.confirm}
      onClose={onClose}
      onConfirm={async () => {
        await edit.save(value.trim())
        onChanged()
      }}
    >
      <p>{edit.says}</p>
      <label className="stack">
        {edit.label}
        <input
          value={value}
          maxLength={255}
          autoCapitalize="none"
          spellCheck={false}
          aria-describedby={edit.hint === undefined ? undefined : hint}
          onChange={(event) => setValue(event.target.value)}
        />
      </label>
      {edit.hint === undefined ? null : (
        <p className="faint" id={hint}>
          {edit.hint}
        </p>
      )}
    </Dialog>
  )
}
