import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { caller, toFailure } from '../api.ts'

interface ChangeDialogProps {
  readonly title: string
  readonly action: string
  /** Makes the change with what was entered. */
  readonly onConfirm: (fields: Readonly<Record<string, string>>) => Promise<unknown>
  readonly onClose: () => void
  /** Whether the change is recorded with who made it and why. */
  readonly isNoted?: boolean
  readonly children?: ComponentChildren
}

/** Asks before it changes something: why, and who where no one is signed in. Escape closes it. */
export function ChangeDialog({ title, action, onConfirm, onClose, isNoted = true, children }: ChangeDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const failure = useSignal('')
  const isBusy = useSignal(false)
  useEffect(() => dialog.current?.showModal(), [])
  const isOpen = caller.value?.via === 'open'
  async function confirm(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    const entries = [...new FormData(event.currentTarget as HTMLFormElement)].map(([name, value]) => [
      name,
      String(value),
    ])
    isBusy.value = true
    try {
      await onConfirm(Object.fromEntries(entries))
      // Closing returns the focus to where it was; removing the dialog would not.
      dialog.current?.close()
    } catch (error) {
      const { problem, message } = toFailure(error)
      failure.value = problem?.detail ?? message
      isBusy.value = false
    }
  }
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={title}>
      <form onSubmit={event => void confirm(event)}>
        <h2>{title}</h2>
        {children}
        {isNoted && (
          <label class="field">
            Why
            <input name="why" required maxLength={200} autocomplete="off" />
          </label>
        )}
        {isNoted && isOpen && (
          <label class="field">
            Who you are
            <input name="who" required maxLength={64} autocomplete="username" />
          </label>
        )}
        <div role="alert" class="bad">
          {failure}
        </div>
        <div class="row">
          <button type="submit" class="button main" disabled={isBusy}>
            {action}
          </button>
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  )
}
