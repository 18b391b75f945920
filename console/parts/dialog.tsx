// A question that must be answered before anything else: the browser's own modal dialog, which keeps the focus within,
// closes by Escape, and gives the focus back to where it was.

import { type ReactNode, useId, useLayoutEffect, useRef, useState } from 'react'
import { ApiFault } from '../api.ts'
import { Failure } from './notices.tsx'

export function Dialog({
  title,
  children,
  confirm,
  isDangerous = false,
  onConfirm,
  onClose,
}: {
  readonly title: string
  readonly children: ReactNode
  /** On the button. */
  readonly confirm: string
  readonly isDangerous?: boolean
  /** The dialog closes when it settles, and shows what failed otherwise. */
  readonly onConfirm: () => Promise<void>
  readonly onClose: () => void
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  // A layout effect, because it is undone while the dialog is still in the page: closed later, it gives no focus back.
  useLayoutEffect(() => {
    const shown = dialog.current
    if (shown !== null && !shown.open) shown.showModal()
    return () => shown?.close()
  }, [])
  const run = async (): Promise<void> => {
    setIsBusy(true)
    setFault(undefined)
    try {
      await onConfirm()
      onClose()
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
    } finally {
      setIsBusy(false)
    }
  }
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        if (!isBusy) onClose()
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
      {fault === undefined ? null : <Failure fault={fault} />}
      <div className="buttons">
        <button type="button" onClick={onClose} disabled={isBusy}>
          Cancel
        </button>
        <button
          type="button"
          className={isDangerous ? 'danger' : 'primary'}
          onClick={() => run()}
          disabled={isBusy}
        >
          {isBusy ? 'Working …' : confirm}
        </button>
      </div>
    </dialog>
  )
}
