import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { z } from '@hono/zod-openapi'
import { type Asset, PAGE, respondWithAsset, SCRIPT, STYLE_SHEET } from './assets.ts'
import { problem } from './documentation.ts'
import { createRoute, createRouter, type Router, serve } from './router.ts'

/** Allows nothing inline and nothing from other hosts. Icons are data URLs. */
export const CONSOLE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The names of files contain a hash of their content. */
const FOREVER = 'public, max-age=31536000, immutable'

const TYPES: Readonly<Record<string, string>> = { '.js': SCRIPT, '.css': STYLE_SHEET, '.html': PAGE }

const ABSENT = problem('This installation has no such file: `npm run build` makes the console.', 'route-unknown')

const pageRoute = createRoute({
  method: 'get',
  path: '/',
  access: 'open',
  operationId: 'console',
  summary: "The operators' console",
  responses: {
    200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } },
    404: ABSENT,
  },
})

const fileRoute = createRoute({
  method: 'get',
  path: '/assets/{file}',
  access: 'open',
  operationId: 'consoleFile',
  summary: 'A script or style sheet of the console',
  request: { params: z.object({ file: z.string().openapi({ examples: ['start.js'] }) }) },
  responses: {
    200: {
      description: 'The file.',
      content: { 'text/javascript': { schema: z.string() }, 'text/css': { schema: z.string() } },
    },
    404: ABSENT,
  },
})

/** `GET /` and the files of the page. */
export function consoleRoutes(files: ReadonlyMap<string, Asset>): Router {
  const router = createRouter('Console')
  serve(router, pageRoute, c =>
    respondWithAsset(c, files.get('index.html'), { policy: CONSOLE_CSP, cacheControl: 'no-cache' }),
  )
  serve(router, fileRoute, c =>
    respondWithAsset(c, files.get(`assets/${c.req.valid('param').file}`), {
      policy: CONSOLE_CSP,
      cacheControl: FOREVER,
    }),
  )
  return router
}

/**
 * Reads the files of the console by name: from the folder `console` of a bundled image, or as
 * packages/console built them. Without either, `GET /` is 404.
 */
export function readConsole(): ReadonlyMap<string, Asset> {
  const folders = [new URL('console/', import.meta.url), new URL('../../../console/dist/', import.meta.url)]
  const folder = folders.find(one => existsSync(new URL('index.html', one)))
  if (folder === undefined) return new Map()
  const names = ['index.html', ...readdirSync(new URL('assets/', folder)).map(name => `assets/${name}`)]
  return new Map(
    names.flatMap(name => {
      const type = TYPES[extname(name)]
      if (type === undefined) return []
      const compressed = new URL(`${name}.br`, folder)
      const brotli = existsSync(compressed) && { brotli: new Uint8Array(readFileSync(compressed)) }
      return [[name, { body: readFileSync(new URL(name, folder), 'utf8'), type, ...brotli }] as const]
    }),
  )
}
