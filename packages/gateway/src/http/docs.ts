import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { problem, problemSchema } from './documentation.ts'
import { RequestFault } from './problem.ts'
import { createRouter, type Router, serve } from './router.ts'

const INFO = {
  title: 'Tidemark',
  version: '1',
  description:
    'Anomaly verdicts on streaming metrics. Errors are RFC 9457 problems. A 4xx means that the same request can never ' +
    'succeed. A condition that passes is 503 with a Retry-After in seconds.',
  license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
}

/** Files of swagger-ui-dist that the page needs. */
const SWAGGER_FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
}

/** Allows nothing from other hosts. Swagger UI needs inline styles, and its icons are data URLs. */
export const DOCS_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export interface Asset {
  readonly body: string
  readonly type: string
}

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tidemark HTTP API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

/** A file of its own, because the policy allows no inline script. */
const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null })
`

const PAGE_PROBLEM = problem('This installation has no such file.', 'route-unknown')

const documentRoute = createRoute({
  method: 'get',
  path: '/openapi.json',
  operationId: 'openapi',
  summary: 'This document',
  responses: {
    200: { description: 'The document.', content: { 'application/json': { schema: z.looseObject({}) } } },
  },
})

const pageRoute = createRoute({
  method: 'get',
  path: '/docs',
  operationId: 'docs',
  summary: 'This document as a page',
  responses: {
    200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } },
    404: PAGE_PROBLEM,
  },
})

const fileRoute = createRoute({
  method: 'get',
  path: '/docs/{file}',
  operationId: 'docsFile',
  summary: 'A script or style sheet of the page',
  request: { params: z.object({ file: z.string().openapi({ examples: ['start.js'] }) }) },
  responses: {
    200: {
      description: 'The file.',
      content: { 'text/javascript': { schema: z.string() }, 'text/css': { schema: z.string() } },
    },
    404: PAGE_PROBLEM,
  },
})

export interface DocsOptions {
  readonly docs: ReadonlyMap<string, Asset>
  /** The router with the routes to describe; `/openapi.json` and `/docs` are among them. */
  readonly app: Router
}

/** `GET /openapi.json`, and the same for people: `GET /docs` and its files. */
export function docsRoutes({ docs, app }: DocsOptions): Router {
  const router = createRouter('Operations')
  router.openAPIRegistry.register('Problem', problemSchema)
  let document: string | undefined
  serve(router, documentRoute, c => {
    document ??= JSON.stringify(describe(app))
    return c.body(document, 200, { 'Content-Type': 'application/json' })
  })
  serve(router, pageRoute, c => respondWithAsset(c, docs.get('')))
  serve(router, fileRoute, c => respondWithAsset(c, docs.get(c.req.valid('param').file)))
  return router
}

/** Returns the OpenAPI 3.1 document of all routes. Takes tens of milliseconds. */
function describe(app: Router) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: INFO,
    servers: [{ url: '/' }],
    security: [],
  })
}

function respondWithAsset(c: Context, asset: Asset | undefined): Response {
  if (asset === undefined) throw new RequestFault({ kind: 'route-unknown' })
  return c.body(asset.body, 200, {
    'Content-Type': asset.type,
    'Content-Security-Policy': DOCS_CSP,
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-cache',
  })
}

/**
 * Reads the files under /docs, by name; the page itself is ''. They come from the package
 * swagger-ui-dist or, in a bundled image, from the folder `swagger-ui` beside the main file.
 * Without either, /docs is 404 and all other routes work.
 */
export function readDocs(): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>()
  const folder = swaggerFolder()
  if (folder === undefined) return assets
  assets.set('', { body: PAGE, type: 'text/html; charset=utf-8' })
  assets.set('start.js', { body: START, type: 'text/javascript; charset=utf-8' })
  for (const [name, type] of Object.entries(SWAGGER_FILES)) {
    assets.set(name, { body: readFileSync(new URL(name, folder), 'utf8'), type })
  }
  return assets
}

function swaggerFolder(): URL | undefined {
  const candidates = [
    () => new URL(import.meta.resolve('swagger-ui-dist/package.json')),
    () => new URL('swagger-ui/', import.meta.url),
  ]
  for (const candidate of candidates) {
    try {
      const folder = candidate()
      if (existsSync(fileURLToPath(new URL('swagger-ui.css', folder)))) return folder
    } catch {
      // The package is not installed.
    }
  }
  return undefined
}
