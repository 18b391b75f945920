// A question that must be answered before anything else: the browser's own modal dialog, which keeps the focus within,
// closes by Escape, and gives the focus back to where it was, or to the page when that has gone meanwhile.

import { type FormEvent, type ReactNode, useId, useLayoutEffect, useRef, useState } from 'react'
import { ApiFault } from '../api.ts'
import { Failure, sentence } from './notices.tsx'

export function Dialog({
  title,
  children,
  confirm,
  isDangerous = false,
  isLast = false,
  onConfirm,
  onClose,
}: {
  readonly title: string
  readonly children: ReactNode
  /** On the button. */
  readonly confirm: string
  readonly isDangerous?: boolean
  /** What was asked about is gone afterwards, and the button that opened this with it: the focus goes to the page. */
  readonly isLast?: boolean
  /**
   * The dialog closes when it settles, and shows what failed otherwise. True: told to do it although the node refused, after
   * the reader has said that he accepts what it costs; only asked where the node says that it can be.
   */
  readonly onConfirm: (isForced: boolean) => Promise<unknown>
  readonly onClose: () => void
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  const [isBusy, setIsBusy] = useState(false)
  const [fault, setFault] = useState<ApiFault>()
  const [isAccepted, setIsAccepted] = useState(false)
  const isDone = useRef(false)
  // A layout effect, because it is undone while the dialog is still in the page: closed later, it gives no focus back.
  useLayoutEffect(() => {
    const shown = dialog.current
    if (shown !== null && !shown.open) shown.showModal()
    return () => {
      shown?.close()
      requestAnimationFrame(() => {
        const isLost = document.activeElement === document.body
        if (isLost || (isLast && isDone.current)) document.getElementById('main')?.focus()
      })
    }
  }, [isLast])
  const isRefused = fault?.fields.canBeForced !== undefined
  const run = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    setIsBusy(true)
    try {
      await onConfirm(isRefused && isAccepted)
      isDone.current = true
      onClose()
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error
      setFault(error)
      setIsAccepted(false)
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
      <form onSubmit={(event) => run(event)}>
        <h2 id={heading}>{title}</h2>
        {children}
        {fault === undefined ? null : isRefused ? (
          <Refusal fault={fault} isAccepted={isAccepted} onAccept={setIsAccepted} />
        ) : (
          <Failure fault={fault} />
        )}
        <div className="buttons">
          <button type="button" onClick={onClose} disabled={isBusy}>
            Cancel
          </button>
          <button
            type="submit"
            className={isDangerous || isRefused ? 'danger filled' : 'primary'}
            disabled={isBusy || (isRefused && !isAccepted)}
          >
            {isBusy ? 'Working …' : isRefused ? `${confirm} all the same` : confirm}
          </button>
        </div>
      </form>
    </dialog>
  )
}

/** What it would cost, sentence by sentence, and whether the reader wants it all the same. */
function Refusal({
  fault,
  isAccepted,
  onAccept,
}: {
  readonly fault: ApiFault
  readonly isAccepted: boolean
  readonly onAccept: (isAccepted: boolean) => void
}) {
  const [first = '', ...others] = fault.message.split('; ')
  const at = first.indexOf(': ')
  const [what, why] = at < 0 ? [first, []] : [first.slice(0, at), [first.slice(at + 2)]]
  return (
    <div className="notice bad" role="alert">
      <p>
        <strong>{sentence(what)}</strong>
      </p>
      <ul>
        {[...why, ...others].map((reason) => (
          <li key={reason}>{sentence(reason)}</li>
        ))}
      </ul>
      <label className="check">
        <input
          type="checkbox"
          checked={isAccepted}
          onChange={(event) => onAccept(event.target.checked)}
        />
        I accept that, and it cannot be undone
      </label>
    </div>
  )
}
