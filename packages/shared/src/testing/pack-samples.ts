import { packFlat } from '../entry.ts'
import type { Sample } from '../sample.ts'

/** An entry's field `s` for `samples`, as a gateway writes it. */
export function packSamples(samples: readonly Sample[]): string {
  return packFlat(samples.flatMap(({ key, value, timestamp }) => [key, value, timestamp]))
}
