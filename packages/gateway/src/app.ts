import type { OpsOptions } from '@tidemark/shared/runtime/ops'
import type { Authentication } from './access/authentication.ts'
import type { KeyTable } from './access/key-table.ts'
import type { RouteAccess } from './access/route-access.ts'
import type { Sessions } from './access/sessions.ts'
import { alertsRoutes } from './alerts/routes.ts'
import { apiKeysRoutes } from './api-keys/routes.ts'
import { auditRoutes } from './audit/routes.ts'
import { verdictSettings } from './config.ts'
import { deadLettersRoutes } from './dead-letters/routes.ts'
import { feedRoutes } from './feed/routes.ts'
import type { Assets } from './http/assets.ts'
import { consoleRoutes } from './http/console.ts'
import { corsFor } from './http/cors.ts'
import { docsRoutes } from './http/docs.ts'
import { createFieldsReader } from './http/json-body.ts'
import { operationsRoutes } from './http/operations.ts'
import { installPipeline, type Pipeline } from './http/pipeline.ts'
import { createRouter, noteAccess, type Router, rejectOthers, routeOf } from './http/router.ts'
import type { Ingest } from './ingest/ingest.ts'
import { influxRoutes } from './ingest/protocols/influx/routes.ts'
import { otlpRoutes } from './ingest/protocols/otlp/routes.ts'
import { remoteWriteRoutes } from './ingest/protocols/remote-write/routes.ts'
import type { SeriesIndex } from './ingest/protocols/remote-write/series.ts'
import { ingestRoutes } from './ingest/routes.ts'
import { keysRoutes } from './keys/routes.ts'
import { overviewRoutes } from './overview/routes.ts'
import { rulesRoutes } from './rules/routes.ts'
import { createRuleSets } from './rules/rule-sets.ts'
import type { RoutesOptions } from './services.ts'
import { sessionsRoutes } from './sessions/routes.ts'
import { verdictsRoutes } from './verdicts/routes.ts'

interface AppOptions extends Omit<RoutesOptions, 'readFields'>, OpsOptions {
  readonly ingest: Ingest
  /** Of Prometheus, by the rules in force. */
  readonly seriesIndex: SeriesIndex
  readonly pipeline: Pipeline
  /** Gets the access of every route. */
  readonly access: RouteAccess
  readonly authentication: Authentication
  readonly sessions: Sessions
  readonly keyTable: KeyTable
  /** Makes changes of API keys through this gateway take effect here at once. */
  readonly refreshKeys: () => Promise<void>
  readonly docs: Assets
  readonly console: Assets
}

/** Creates the HTTP API out of the routes of each folder. Tests call its `request`. */
export function createApp(options: AppOptions): Router {
  const { config, pipeline, access, docs } = options
  // Shared, so that rules are compiled once and one budget bounds all bodies from operators.
  const ruleSets = createRuleSets(verdictSettings(config))
  const shared = { ...options, ruleSets, readFields: createFieldsReader() }
  const app = createRouter('Gateway')
  installPipeline(app, pipeline, routeOf, corsFor(config.CORS_ORIGINS))
  app.route('/', ingestRoutes(config, options.ingest))
  app.route('/', influxRoutes(config, options.ingest))
  app.route('/', otlpRoutes(config, options.ingest))
  app.route('/', remoteWriteRoutes(config, options.ingest, options.seriesIndex))
  app.route('/', verdictsRoutes(shared))
  app.route('/', feedRoutes(shared))
  app.route('/', rulesRoutes(shared))
  app.route('/', alertsRoutes(shared))
  app.route('/', overviewRoutes(shared))
  app.route('/', keysRoutes(shared))
  app.route('/', deadLettersRoutes(shared))
  app.route('/', apiKeysRoutes(shared))
  app.route('/', auditRoutes(shared))
  app.route('/', sessionsRoutes(shared))
  app.route('/', operationsRoutes(shared))
  app.route('/', consoleRoutes(options.console))
  app.route('/', docsRoutes(docs, app))
  noteAccess(app, access)
  rejectOthers(app)
  return app
}
