import type { Alert } from '@tidemark/client/types'
import { visible } from './visible.ts'

/** When it began, in UTC: views show that in the local time. */
const SINCE = /firing since \S+Z, | Firing since \S+Z\.$|(?<=opened) at \S+Z(?= by)/g

/** What an alert says, without since when. */
export function explanationOf({ explanation }: Pick<Alert, 'explanation'>): string {
  return visible(explanation).replace(SINCE, '').replaceAll(' +- ', ' ± ')
}
