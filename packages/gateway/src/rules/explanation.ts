import { createRoute, z } from '@hono/zod-openapi'
import type { GatewayConfig } from '../config.ts'
import { json, PROBLEMS } from '../http/documentation.ts'
import { keyParameter } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import type { RulesOptions } from './document.ts'
import { explanationSchema } from './schemas.ts'
import { explanationView } from './view.ts'

function explainRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/rules/explain',
    operationId: 'explainRules',
    summary: 'Which rule is in force for a key, and why',
    request: { query: z.strictObject({ key: keyParameter(KEY_BYTES_MAX) }) },
    responses: { 200: json('The explanation.', explanationSchema), ...PROBLEMS },
  })
}

export function serveExplanation(router: Router, { config, services, ruleSets, now }: RulesOptions): void {
  serve(router, explainRoute(config), async c => {
    const { document, set } = await ruleSets(services().store.rules)
    return c.json(explanationView(set.explain(c.req.valid('query').key, now()), document))
  })
}
