import { useSignal } from '@preact/signals'
import type { PreviewQuery } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import type { RulePreview } from '@tidemark/client/types'
import { useEffect } from 'preact/hooks'
import { client, toFailure } from '../api.ts'

/** The gateway is asked when so long nothing was typed. */
const TYPING_MS = 300

export type FieldErrors = ReadonlyMap<string, string>

const NO_ERRORS: FieldErrors = new Map()

/** Validates a rule as it is typed, and keeps what it would have done. */
export function usePreview(query: PreviewQuery | undefined) {
  const preview = useSignal<RulePreview | undefined>(undefined)
  const errors = useSignal(NO_ERRORS)
  const failure = useSignal<TidemarkError | undefined>(undefined)
  const isBusy = useSignal(false)
  const text = JSON.stringify(query)
  useEffect(() => {
    if (query === undefined) {
      preview.value = undefined
      errors.value = NO_ERRORS
      return
    }
    const stop = new AbortController()
    async function ask(wanted: PreviewQuery): Promise<void> {
      isBusy.value = true
      try {
        preview.value = await client.previewRule(wanted, { signal: stop.signal })
        errors.value = NO_ERRORS
        failure.value = undefined
      } catch (error) {
        if (stop.signal.aborted) return
        const failed = toFailure(error)
        errors.value = errorsOf(failed)
        failure.value = errors.value.size > 0 ? undefined : failed
        if (errors.value.size > 0) preview.value = undefined
      }
      isBusy.value = false
    }
    const timer = setTimeout(() => void ask(query), TYPING_MS)
    return () => {
      clearTimeout(timer)
      stop.abort()
    }
  }, [text])
  return { preview, errors, failure, isBusy }
}

/** Returns what is wrong with each member of a rule; '' for the rule as a whole. */
export function errorsOf(error: unknown): FieldErrors {
  const errors = error instanceof TidemarkError && error.status === 422 ? (error.problem?.errors ?? []) : []
  return new Map(errors.map(({ field = '', detail }) => [field.replace(/^rule\.?/, ''), detail]))
}
