import type { Context } from 'hono'
import { RequestFault } from './problem.ts'

/** A file that the gateway serves to browsers. */
export interface Asset {
  readonly body: string
  readonly type: string
  /** The same compressed, for browsers that accept it. */
  readonly brotli?: Uint8Array<ArrayBuffer>
}

export const SCRIPT = 'text/javascript; charset=utf-8'
export const STYLE_SHEET = 'text/css; charset=utf-8'
export const PAGE = 'text/html; charset=utf-8'

interface AssetHeaders {
  readonly policy: string
  readonly cacheControl: string
}

export function respondWithAsset(
  c: Context,
  asset: Asset | undefined,
  { policy, cacheControl }: AssetHeaders,
): Response {
  if (asset === undefined) throw new RequestFault({ kind: 'route-unknown' })
  const headers = { 'Content-Type': asset.type, 'Content-Security-Policy': policy, 'Cache-Control': cacheControl }
  if (asset.brotli === undefined) return c.body(asset.body, 200, headers)
  const vary = { ...headers, Vary: 'Accept-Encoding' }
  if (!acceptsBrotli(c.req.header('accept-encoding'))) return c.body(asset.body, 200, vary)
  return c.body(asset.brotli, 200, { ...vary, 'Content-Encoding': 'br' })
}

/** Browsers send no weights; `br;q=0` forbids it. */
function acceptsBrotli(header = ''): boolean {
  return header.split(',').some(coding => /^br(;q=(1(\.0*)?|0\.0*[1-9]\d*))?$/.test(coding.replaceAll(/\s/g, '')))
}
