import { existsSync, readFileSync } from 'node:fs'
import { z } from '@hono/zod-openapi'
import { type Asset, PAGE as PAGE_TYPE, respondWithAsset, SCRIPT, STYLE_SHEET } from './assets.ts'
import { CREDENTIALS, problem, problemSchema } from './documentation.ts'
import { createRoute, createRouter, type Router, serve } from './router.ts'

const DESCRIPTION = {
  openapi: '3.1.0',
  info: {
    title: 'Tidemark',
    version: '1',
    description:
      'Anomaly verdicts on streaming metrics. Errors are RFC 9457 problems. A 4xx means that the same request can never ' +
      'succeed. A condition that passes is 503 with a Retry-After in seconds.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  security: [],
}

/** Allows nothing inline and nothing from other hosts. The icons of Swagger UI are data URLs. */
export const DOCS_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = { policy: DOCS_CSP, cacheControl: 'no-cache' }

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
    <p class="swagger-ui wrapper"><a href="/">Console</a> <span id="caller"></span></p>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

/**
 * A file of its own, because the policy allows no inline script. Requests that are tried are sent
 * with the cookie of the session, if the browser has one.
 */
const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
  withCredentials: true,
})
const caller = document.getElementById('caller')
fetch('/session').then(async response => {
  const { name, scopes, via } = await response.json()
  caller.textContent =
    via === 'session'
      ? 'Requests are sent as ' + name + ', with the ' + (scopes.length === 1 ? 'scope ' : 'scopes ') + scopes.join(', ') + '.'
      : response.ok
        ? 'Requests need no API key.'
        : 'Sign in on the console, or authorize with an API key, to try requests that need one.'
}, () => {})
`

const PAGE_PROBLEM = problem('This installation has no such file.', 'route-unknown')

const documentRoute = createRoute({
  method: 'get',
  path: '/openapi.json',
  access: 'open',
  operationId: 'openapi',
  summary: 'This document',
  responses: {
    200: { description: 'The document.', content: { 'application/json': { schema: z.looseObject({}) } } },
  },
})

const pageRoute = createRoute({
  method: 'get',
  path: '/docs',
  access: 'open',
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
  access: 'open',
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

/** `GET /openapi.json` with all routes of `app`, and the same for people: `GET /docs`. */
export function docsRoutes(docs: ReadonlyMap<string, Asset>, app: Router): Router {
  const router = createRouter('Operations')
  router.openAPIRegistry.register('Problem', problemSchema)
  for (const [name, scheme] of Object.entries(CREDENTIALS)) {
    router.openAPIRegistry.registerComponent('securitySchemes', name, scheme)
  }
  let document: string | undefined
  serve(router, documentRoute, c => {
    // Takes tens of milliseconds.
    document ??= JSON.stringify(app.getOpenAPI31Document(DESCRIPTION))
    return c.body(document, 200, { 'Content-Type': 'application/json' })
  })
  serve(router, pageRoute, c => respondWithAsset(c, docs.get(''), HEADERS))
  serve(router, fileRoute, c => respondWithAsset(c, docs.get(c.req.valid('param').file), HEADERS))
  return router
}

/**
 * Reads the files under /docs, by name; the page itself is ''. They come from swagger-ui-dist or,
 * in a bundled image, from the folder `swagger-ui`. Without either, /docs is 404.
 */
export function readDocs(): ReadonlyMap<string, Asset> {
  const folder = swaggerFolder()
  if (folder === undefined) return new Map()
  const read = (name: string) => readFileSync(new URL(name, folder), 'utf8')
  return new Map([
    ['', { body: PAGE, type: PAGE_TYPE }],
    ['start.js', { body: START, type: SCRIPT }],
    ['swagger-ui-bundle.js', { body: read('swagger-ui-bundle.js'), type: SCRIPT }],
    ['swagger-ui.css', { body: read('swagger-ui.css'), type: STYLE_SHEET }],
  ])
}

function swaggerFolder(): URL | undefined {
  const folders = [new URL('swagger-ui/', import.meta.url)]
  try {
    folders.unshift(new URL(import.meta.resolve('swagger-ui-dist/package.json')))
  } catch {
    // The package is not installed.
  }
  return folders.find(folder => existsSync(new URL('swagger-ui.css', folder)))
}
