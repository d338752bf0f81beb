import type { State } from '@tidemark/shared/verdict/analysis'

/** The states that the newest analysis of a key can have: a refused sample leaves it as it was. */
export const KEY_STATES = ['warming', 'flat', 'ok', 'anomalous'] as const satisfies readonly State[]
export const STATES = [...KEY_STATES, 'refused'] as const satisfies readonly State[]
