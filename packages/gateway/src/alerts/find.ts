import { assembleAlert, partitionOfAlert } from '@tidemark/shared/detection/alerts/record'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { problem } from '../http/documentation.ts'
import { mayUse } from '../http/own-keys.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter } from '../http/query.ts'

export const ALERT_ID = idParameter('The id of the alert.', '3-5f2c1f0a9be2d6c07a51b3e4')
export const ALERT_UNKNOWN = {
  404: problem('No alert with this id: it never existed or is no longer kept.', 'alert-unknown'),
}

/** Reads the alert with an id from a path; throws a RequestFault if the caller may see none. */
export async function readAlert({ partitions, alerts }: Store, id: string, caller: Principal) {
  const partition = partitionOfAlert(id)
  const [parts] = partition === undefined || partition >= partitions ? [] : await alerts.read(partition, [id])
  if (partition === undefined || parts == null || !mayUse(caller, parts.opening.key)) {
    throw new RequestFault({ kind: 'alert-unknown' })
  }
  return { partition, opening: parts.opening, record: assembleAlert(parts) }
}
