import { existsSync } from 'node:fs'
import { z } from '@hono/zod-openapi'
import { type Assets, INDEX, readAssets, servePage } from './assets.ts'
import { CREDENTIALS, problemSchema } from './documentation.ts'
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

/** `GET /openapi.json` with all routes of `app`, and the same for people: `GET /docs`. */
export function docsRoutes(docs: Assets, app: Router): Router {
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
  servePage(router, docs, {
    path: '/docs',
    operationId: 'docs',
    summary: 'This document as a page',
    files: '/docs',
    isHashed: false,
    absent: 'This installation has no such file.',
  })
  return router
}

/** Beside this module, in its sources and in a bundled image. */
const FOLDER = new URL('docs/', import.meta.url)
const SWAGGER_FILES = ['swagger-ui-bundle.js', 'swagger-ui.css']

/**
 * Reads the files under /docs. Those of Swagger UI come from swagger-ui-dist or, in a bundled
 * image, are among the others; without them, /docs is 404. The page has the look of the console.
 */
export function readDocs(console: Assets = new Map()): Assets {
  const swagger = swaggerFolder()
  if (swagger === undefined) return new Map()
  const own = readAssets(FOLDER, [INDEX, 'start.js', 'look.css'])
  const page = own.get(INDEX)
  const sheets = [...console.keys()].filter(name => name.endsWith('.css'))
  const links = sheets.map(name => `<link rel="stylesheet" href="/assets/${name}">\n    `)
  if (page !== undefined) {
    own.set(INDEX, { ...page, body: page.body.replace('<link rel="stylesheet"', `${links.join('')}$&`) })
  }
  return new Map([...own, ...readAssets(swagger, SWAGGER_FILES)])
}

function swaggerFolder(): URL | undefined {
  const folders = [FOLDER]
  try {
    folders.push(new URL(import.meta.resolve('swagger-ui-dist/package.json')))
  } catch {
    // The package is not installed.
  }
  return folders.find(folder => existsSync(new URL('swagger-ui.css', folder)))
}
