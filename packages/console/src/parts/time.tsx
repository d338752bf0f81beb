import { signal } from '@preact/signals'
import { formatAgo, formatFull, formatTime } from '../format.ts'

/** Counts seconds: what moves with the time reads it. */
export const tick = signal(0)
setInterval(() => {
  if (!document.hidden) tick.value++
}, 1000)

/** A time of day, with all of it as its title. */
export function Time({ at }: { readonly at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={formatFull(at)}>
      {formatTime(at)}
    </time>
  )
}

export function Ago({ at }: { readonly at: number }) {
  tick.value
  return (
    <time dateTime={new Date(at).toISOString()} title={formatFull(at)}>
      {formatAgo(at)}
    </time>
  )
}
