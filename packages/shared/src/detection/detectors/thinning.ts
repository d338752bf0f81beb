/** A score must exceed those that passed in so many samples: what lasts is reported once. */
const HOLD = 50

/** Float64s: the last score that passed, and the number of its sample. Zeros: none has. */
export const THINNING_LENGTH = 2

/** Returns the score if it exceeds those that passed in the last HOLD samples, otherwise 0. */
export function thinned(states: Float64Array, at: number, score: number, number: number): number {
  return score > barAt(states, at, number) ? score : 0
}

/**
 * Records what the score of sample `number` counts for after it; 0 if it did not pass. It counts
 * for no less than what it exceeded, so the last score that passed is always the greatest.
 */
export function notePassed(states: Float64Array, at: number, counted: number, number: number): void {
  if (counted <= 0) return
  states[at] = Math.max(counted, barAt(states, at, number))
  states[at + 1] = number
}

function barAt(states: Float64Array, at: number, number: number): number {
  const isPast = number - (states[at + 1] as number) > HOLD
  return isPast ? 0 : (states[at] as number)
}
