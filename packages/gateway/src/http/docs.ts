import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Files of swagger-ui-dist that the page needs. */
const SWAGGER_FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
}

/** Nothing from elsewhere. Swagger UI writes style attributes, hence unsafe-inline for styles, and has its icons as data. */
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
    <title>Tidemark: the HTTP interface</title>
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

/** In a file of its own: the policy allows no script within the page. */
const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null })
`

/**
 * The files under /docs by name, read once; the page itself is ''. They come from the package or, in a bundled image,
 * from the folder `swagger-ui` beside the main file. Without either the other routes work and these are missing.
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
      // The package is not installed: the next place.
    }
  }
  return undefined
}
