/** How far anomalous samples move the baseline that later ones are measured by. */
export interface HygienePolicy {
  /** An anomalous sample is kept out of the window and of the detector's state. */
  readonly isHeld: boolean
  /** After so many anomalies in a row on the same side the level is accepted as new; 0 for never. */
  readonly levelShiftAfter: number
}

/**
 * What is to be done with a sample once it is judged. `learn`: it joins the baseline. `hold`: it does not. `shift`: the level
 * is new: window and detector's state begin afresh, with this sample.
 */
export type Influence = 'learn' | 'hold' | 'shift'

/** Float64s of a key's state, zeros at first: the anomalies in a row, above 0 when they are too high, below when too low. */
export const HYGIENE_STATE_LENGTH = 1

/** Moves a key's state past a sample. `side` is 1 or -1 for an anomaly above or below, 0 for none or no verdict. */
export function stepHygiene(states: Float64Array, at: number, policy: HygienePolicy, side: number): Influence {
  if (side === 0) {
    states[at] = 0
    return 'learn'
  }
  const before = states[at] as number
  const run = before * side > 0 ? before + side : side
  states[at] = run
  if (policy.levelShiftAfter > 0 && Math.abs(run) >= policy.levelShiftAfter) {
    states[at] = 0
    return 'shift'
  }
  return policy.isHeld ? 'hold' : 'learn'
}
