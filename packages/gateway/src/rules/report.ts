import { createRoute, z } from '@hono/zod-openapi'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Analysis, parseAnalysis } from '@tidemark/shared/verdict/analysis'
import type { Logger } from 'pino'
import { json, PROBLEMS } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { optionalInteger } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import { sumRuleCounts } from './counts.ts'
import type { RulesOptions } from './document.ts'
import { RULE_ID, RULE_UNKNOWN } from './rules.ts'
import { reportSchema } from './schemas.ts'
import { ruleView } from './view.ts'

const route = createRoute({
  method: 'get',
  path: '/rules/{id}/report',
  operationId: 'ruleReport',
  summary: 'How a rule performs, or would perform',
  description: 'What it counted and, for a shadow rule, the newest samples that it would have flagged.',
  request: {
    params: RULE_ID,
    query: z.strictObject({
      limit: optionalInteger({ min: 1, max: 200, fallback: 20 }).describe('The most samples to list.'),
    }),
  },
  responses: { 200: json('The report.', reportSchema), ...PROBLEMS, ...RULE_UNKNOWN },
})

export function serveReport(router: Router, { log, services }: RulesOptions): void {
  serve(router, route, async c => {
    const { limit } = c.req.valid('query')
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    const kept = document.rules.find(({ rule }) => rule.id === c.req.valid('param').id)
    if (kept === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    const isShadow = kept.rule.shadow === true
    const flagged = isShadow ? await readShadowed(store, kept.rule.id, limit, log) : null
    return c.json({ ...ruleView(kept, sums), shadow: isShadow, would_have_flagged: flagged })
  })
}

/**
 * The newest samples of all partitions that a shadow rule would have flagged, newest first. A
 * corrupt one is left out and logged, so that it does not hide the others.
 */
async function readShadowed(
  { partitions, gateway }: Store,
  rule: string,
  limit: number,
  log: Logger,
): Promise<Analysis[]> {
  const found = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => gateway.shadowed(partition, rule, limit)),
  )
  const stored = found.flat()
  const analyses = stored.map(parseAnalysis).filter(analysis => analysis !== undefined)
  const corrupt = stored.length - analyses.length
  if (corrupt > 0) log.error({ rule, corrupt }, 'left corrupt stored analyses out of a report')
  return analyses.sort((a, b) => b.analyzed_at - a.analyzed_at).slice(0, limit)
}
