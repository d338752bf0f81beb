import { createRouter, type Router } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { serveAlert } from './detail.ts'
import { serveOperatorState } from './operator-state.ts'
import { serveAlertsPage } from './page.ts'

/** `GET /alerts`, `GET /alerts/{id}` and what operators do with an alert. */
export function alertsRoutes(options: RulesOptions): Router {
  const router = createRouter('Alerts')
  serveAlertsPage(router, options)
  serveAlert(router, options)
  serveOperatorState(router, options)
  return router
}
