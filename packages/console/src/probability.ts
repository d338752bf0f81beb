const STEPS = 400
/** Beyond so many times the scale the density adds nothing that matters. */
const REACH = 400

/**
 * Returns how probable it is that a normal value lies as far from the mean of `samples` normal
 * values before it, in either direction: Student's t, because the window is small.
 */
export function tailProbability(z: number, samples: number): number {
  const freedom = samples - 1
  if (freedom < 1) return 1
  // z uses the population deviation; a new value varies with the mean of the window too.
  const t = Math.abs(z) * Math.sqrt((samples - 1) / (samples + 1))
  const logScale = logGamma((freedom + 1) / 2) - logGamma(freedom / 2) - Math.log(freedom * Math.PI) / 2
  const density = (x: number): number => Math.exp(logScale - ((freedom + 1) / 2) * Math.log1p((x * x) / freedom))
  // Simpson's rule over x = t + (e^u - 1): fine steps near t, coarse ones in the tail.
  const end = Math.log1p(REACH * (1 + t))
  const step = end / STEPS
  let sum = 0
  for (let i = 0; i <= STEPS; i++) {
    const u = i * step
    const weight = i === 0 || i === STEPS ? 1 : i % 2 === 1 ? 4 : 2
    sum += weight * density(t + Math.expm1(u)) * Math.exp(u)
  }
  return Math.min(1, (2 * sum * step) / 3)
}

/** Stirling's series; moved up first, where it is exact to 1e-10. */
function logGamma(x: number): number {
  let shift = 0
  let at = x
  for (; at < 10; at++) shift += Math.log(at)
  return (at - 0.5) * Math.log(at) - at + Math.log(2 * Math.PI) / 2 + 1 / (12 * at) - 1 / (360 * at ** 3) - shift
}
