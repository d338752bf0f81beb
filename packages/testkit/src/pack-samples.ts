import { packFlat } from '@tidemark/shared/sample/entry'
import type { Sample } from '@tidemark/shared/sample/sample'

/** An entry's field `s` for `samples`, as a gateway writes it. */
export function packSamples(samples: readonly Sample[]): string {
  return packFlat(samples.flatMap(({ key, value, timestamp }) => [key, value, timestamp]))
}
