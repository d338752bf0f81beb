import { existsSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { problem } from './documentation.ts'
import { RequestFault } from './problem.ts'
import { createRoute, type Router, serve } from './router.ts'

/** A file that the gateway serves to browsers. */
export interface Asset {
  readonly body: string
  readonly type: string
  /** The same compressed, for browsers that accept it. */
  readonly brotli?: Uint8Array<ArrayBuffer>
}

/** The files of a page by name. Without any, the page is 404. */
export type Assets = ReadonlyMap<string, Asset>

export const SCRIPT = 'text/javascript; charset=utf-8'
export const STYLE_SHEET = 'text/css; charset=utf-8'
export const PAGE = 'text/html; charset=utf-8'

const TYPES: Readonly<Record<string, string>> = { '.js': SCRIPT, '.css': STYLE_SHEET, '.html': PAGE }

/** The file that is the page itself. */
export const INDEX = 'index.html'

/** Allows nothing inline and nothing from other hosts. Icons are data URLs. */
export const PAGE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** For files whose names contain a hash of their content. */
const FOREVER = 'public, max-age=31536000, immutable'

/** Browsers check each time. */
const CHECKED = 'no-cache'

interface PageRoutes {
  readonly path: string
  readonly operationId: string
  readonly summary: string
  /** The path below which its files are. */
  readonly files: string
  /** Whether the names of its files change with their content. */
  readonly isHashed: boolean
  /** Why an installation may not have it. */
  readonly absent: string
}

/** Serves a page and the scripts and style sheets that it loads. */
export function servePage(
  router: Router,
  assets: Assets,
  { path, operationId, summary, files, isHashed, absent }: PageRoutes,
): void {
  const absence = problem(absent, 'route-unknown')
  const page = createRoute({
    ...{ method: 'get', path, access: 'open', operationId, summary },
    responses: { 200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } }, 404: absence },
  })
  const file = createRoute({
    ...{ method: 'get', path: `${files}/{file}`, access: 'open', operationId: `${operationId}File` },
    summary: `A script or style sheet of ${path}`,
    request: { params: z.object({ file: z.string().openapi({ examples: ['start.js'] }) }) },
    responses: {
      200: {
        description: 'The file.',
        content: { 'text/javascript': { schema: z.string() }, 'text/css': { schema: z.string() } },
      },
      404: absence,
    },
  })
  serve(router, page, c => respond(c, assets.get(INDEX), CHECKED))
  serve(router, file, c => {
    const name = c.req.valid('param').file
    return respond(c, name === INDEX ? undefined : assets.get(name), isHashed ? FOREVER : CHECKED)
  })
}

function respond(c: Context, asset: Asset | undefined, cacheControl: string): Response {
  if (asset === undefined) throw new RequestFault({ kind: 'route-unknown' })
  const headers = { 'Content-Type': asset.type, 'Content-Security-Policy': PAGE_CSP, 'Cache-Control': cacheControl }
  if (asset.brotli === undefined) return c.body(asset.body, 200, headers)
  const vary = { ...headers, Vary: 'Accept-Encoding' }
  if (!acceptsBrotli(c.req.header('accept-encoding'))) return c.body(asset.body, 200, vary)
  return c.body(asset.brotli, 200, { ...vary, 'Content-Encoding': 'br' })
}

/** Browsers send no weights; `br;q=0` forbids it. */
function acceptsBrotli(header = ''): boolean {
  return header.split(',').some(coding => /^br(;q=(1(\.0*)?|0\.0*[1-9]\d*))?$/.test(coding.replaceAll(/\s/g, '')))
}

/** Reads files of a folder, and their compressed forms beside them. Other types are left out. */
export function readAssets(folder: URL, names: readonly string[]): Map<string, Asset> {
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
