export interface HygienePolicy {
  /** Anomalous samples are kept out of the window and of the detector's state. */
  readonly isHeld: boolean
  /** This many consecutive anomalies on the same side are accepted as a new level; 0 for never. */
  readonly levelShiftAfter: number
}

/** `learn`: the sample joins the baseline; `hold`: it does not; `shift`: the baseline restarts. */
export type Influence = 'learn' | 'hold' | 'shift'

/** A key's state, initially 0: the number of consecutive anomalies, negative if too low. */
export const HYGIENE_STATE_LENGTH = 1

/** Updates a key's state by a sample outside the range of its rule: no such level becomes usual. */
export function holdOutside(states: Float64Array, at: number, { isHeld }: HygienePolicy): Influence {
  states[at] = 0
  return isHeld ? 'hold' : 'learn'
}

/** Updates a key's state. `side` is 1 or -1 for an anomaly above or below, otherwise 0. */
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
