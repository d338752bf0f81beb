import { createRouter, type Router } from '../http/router.ts'
import { createChangeRules } from './document.ts'
import { serveMutes } from './mutes.ts'
import { servePreview } from './preview.ts'
import { serveReading } from './reading.ts'
import type { RulesOptions } from './rule-sets.ts'
import { serveRules } from './rules.ts'
import { serveStorm } from './storm.ts'

/** `/rules`, `/mutes` and `/storm`: how operators configure the scoring of samples. */
export function rulesRoutes(options: RulesOptions): Router {
  const router = createRouter('Rules')
  const changing = { ...options, changeRules: createChangeRules(options) }
  serveReading(router, options)
  servePreview(router, options)
  serveRules(router, changing)
  serveMutes(router, changing)
  serveStorm(router, changing)
  return router
}
