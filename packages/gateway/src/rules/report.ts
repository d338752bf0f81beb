import type { Store } from '@tidemark/shared/store/ports/store'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import type { Context } from 'hono'
import { z } from 'zod'
import { RequestFault } from '../http/problem.ts'
import { integerParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'
import { sumRuleCounts } from './counts.ts'
import { ruleWords } from './view.ts'

export const REPORT_LIMIT_DEFAULT = 20
export const REPORT_LIMIT_MAX = 200

const reportQuery = z.strictObject({
  limit: integerParameter({ min: 1, max: REPORT_LIMIT_MAX }).default(REPORT_LIMIT_DEFAULT),
})

/** `GET /rules/{id}/report`: how a rule does and, of one that is tried out, the newest samples that it would have flagged. */
export function createRuleReport({
  services,
}: {
  readonly services: () => Services
}): (c: Context) => Promise<Response> {
  return async c => {
    const { limit } = readQuery(c, reportQuery)
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    const kept = document.rules.find(({ rule }) => rule.id === c.req.param('id'))
    if (kept === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    const isShadow = kept.rule.shadow === true
    const flagged = isShadow ? await readShadowed(store, kept.rule.id, limit) : null
    return c.json({ ...ruleWords(kept, sums), shadow: isShadow, would_have_flagged: flagged })
  }
}

/** The newest samples of all partitions that a rule would have flagged, newest first. */
async function readShadowed({ partitions, gateway }: Store, rule: string, limit: number): Promise<Analysis[]> {
  const found = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => gateway.shadowed(partition, rule, limit)),
  )
  return found
    .flat()
    .map(json => JSON.parse(json) as Analysis)
    .sort((a, b) => b.analyzed_at - a.analyzed_at)
    .slice(0, limit)
}
