import { createRouter, type Router } from '../http/router.ts'
import { serveChanges } from './changes.ts'
import { createChangeRules, type RulesOptions } from './document.ts'
import { serveExplanation } from './explanation.ts'
import { serveMutes } from './mutes.ts'
import { serveReport } from './report.ts'
import { serveRules } from './rules.ts'
import { serveStorm } from './storm.ts'

/**
 * The routes below `/rules`, `/mutes` and `/storm`: how operators configure the scoring of samples.
 */
export function rulesRoutes(options: RulesOptions): Router {
  const router = createRouter('Rules')
  const changing = { ...options, changeRules: createChangeRules() }
  // Before /rules/{id}, which matches their paths too.
  serveExplanation(router, options)
  serveChanges(router, options)
  serveRules(router, changing)
  serveReport(router, options)
  serveMutes(router, changing)
  serveStorm(router, changing)
  return router
}
