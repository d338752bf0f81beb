import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Context } from 'hono'
import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'

export interface HistoryOptions {
  readonly config: GatewayConfig
  readonly services: () => Services
}

/** `GET /history?key=`: the key's window, oldest first. */
export function createHistory({ config, services }: HistoryOptions): (c: Context) => Promise<Response> {
  const query = z.strictObject({ key: keyParameter(config.KEY_BYTES_MAX) })
  return async c => {
    const { key } = readQuery(c, query)
    const { store } = services()
    const stored = await store.gateway.window({ partition: partitionOf(key, store.partitions), key })
    if (stored === null) throw new RequestFault({ kind: 'key-unknown' })
    const window = decodeWindow(stored)
    if (window === undefined) throw new Error(`what is stored of ${JSON.stringify(key)} is no window`)
    const { count, values, timestamps } = window
    return c.json({ key, count, values, timestamps })
  }
}
