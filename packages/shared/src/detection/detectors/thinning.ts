/** A score must exceed those that passed in so many samples: what lasts is reported once. */
const HOLD = 50

/** Float64s: the last score that passed, and the number of its sample. Zeros: none has. */
export const THINNING_LENGTH = 2

/**
 * Returns the score if it exceeds those that passed in the last HOLD samples, otherwise 0. Each of
 * them exceeded those before, so the last one is the greatest. Samples count from 1.
 */
export function thinned(states: Float64Array, at: number, score: number, number: number): number {
  const isPast = number - (states[at + 1] as number) > HOLD
  return score > (isPast ? 0 : (states[at] as number)) ? score : 0
}

/** Records what the score of sample `number` counts for after it; 0 if it did not pass. */
export function notePassed(states: Float64Array, at: number, counted: number, number: number): void {
  if (counted <= 0) return
  states[at] = counted
  states[at + 1] = number
}
