import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { alertsRoutes } from './alerts/routes.ts'
import { type GatewayConfig, verdictSettings } from './config.ts'
import { deadLettersRoutes } from './dead-letters/routes.ts'
import { type Asset, docsRoutes } from './http/docs.ts'
import { createFieldsReader } from './http/json-body.ts'
import { operationsRoutes } from './http/operations.ts'
import { installPipeline, type Pipeline } from './http/pipeline.ts'
import { respondWith } from './http/problem.ts'
import { createRouter, type Router, rejectOtherMethods, routeOf } from './http/router.ts'
import type { Ingest } from './ingest/ingest.ts'
import { ingestRoutes } from './ingest/routes.ts'
import type { GatewayMetrics } from './metrics.ts'
import { rulesRoutes } from './rules/routes.ts'
import { createRuleSets } from './rules/rule-sets.ts'
import type { Services } from './services.ts'
import { verdictsRoutes } from './verdicts/routes.ts'

export interface AppOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly registry: Registry
  readonly metrics: GatewayMetrics
  readonly ingest: Ingest
  /** What every request goes through. */
  readonly pipeline: Pipeline
  /** Unix milliseconds. */
  readonly now: () => number
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
  /** Returns why the gateway is not ready; undefined if it is. */
  readonly notReady: () => string | undefined
  readonly docs: ReadonlyMap<string, Asset>
}

/**
 * Creates the HTTP API out of the routes of each folder. It does not listen: tests call its
 * `request`.
 */
export function createApp(options: AppOptions): Router {
  const { config, pipeline, docs } = options
  // Shared, so that rules are compiled once and one budget bounds all bodies from operators.
  const shared = {
    ...options,
    ruleSets: createRuleSets(verdictSettings(config)),
    readFields: createFieldsReader(),
  }
  const app = createRouter('Gateway')
  installPipeline(app, pipeline, routeOf)
  app.route('/', ingestRoutes(config, options.ingest))
  app.route('/', verdictsRoutes(shared))
  app.route('/', rulesRoutes(shared))
  app.route('/', alertsRoutes(shared))
  app.route('/', deadLettersRoutes(shared))
  app.route('/', operationsRoutes(shared))
  app.route('/', docsRoutes(docs, app))
  rejectOtherMethods(app)
  app.notFound(c => respondWith(c, { kind: 'route-unknown' }))
  return app
}
