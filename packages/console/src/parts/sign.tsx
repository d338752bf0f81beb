import type { KeyRow, Severity } from '@tidemark/client/types'

export type Level = 'good' | 'warn' | 'bad' | 'none'

/** A state as a shape and a colour: colour alone is not enough. */
export function Mark({ level, size = 12 }: { readonly level: Level; readonly size?: number }) {
  return (
    <svg class={level} width={size} height={size} viewBox="0 0 12 12" aria-hidden="true">
      {level === 'good' && <circle cx="6" cy="6" r="5" fill="currentColor" />}
      {level === 'warn' && <path d="M6 1 11.5 11H.5Z" fill="currentColor" />}
      {level === 'bad' && <rect x="1" y="1" width="10" height="10" rx="1.5" fill="currentColor" />}
      {level === 'none' && <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.5" />}
    </svg>
  )
}

export function Sign({ level, children }: { readonly level: Level; readonly children: string }) {
  return (
    <span class="sign">
      <Mark level={level} />
      <span>{children}</span>
    </span>
  )
}

const STATES: Readonly<Record<KeyRow['state'], readonly [Level, string]>> = {
  anomalous: ['bad', 'anomalous'],
  ok: ['good', 'ok'],
  flat: ['good', 'flat'],
  warming: ['none', 'warming'],
  refused: ['none', 'refused'],
  ignored: ['none', 'ignored'],
}

/** A firing alert says more than the newest sample. */
export function keyState({ state, alert }: Pick<KeyRow, 'state' | 'alert'>): readonly [Level, string] {
  return alert === null ? STATES[state] : ['bad', 'alert']
}

export const severityLevel = (severity: Severity): Level =>
  severity === 'critical' ? 'bad' : severity === 'warning' ? 'warn' : 'none'

export function stateSign(state: KeyRow['state']) {
  const [level, word] = STATES[state]
  return <Sign level={level}>{word}</Sign>
}
