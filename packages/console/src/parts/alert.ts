import type { Alert } from '@tidemark/client/types'

/** What an alert says, without since when, in UTC: views show that in the local time. */
export function explanationOf({ explanation }: Pick<Alert, 'explanation'>): string {
  return explanation
    .replace(/firing since \S+Z, | Firing since \S+Z\.$|(?<=opened) at \S+Z(?= by)/g, '')
    .replaceAll(' +- ', ' ± ')
}
