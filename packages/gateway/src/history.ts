import { partitionOf } from '@tidemark/shared/partition'
import { decodeRow } from '@tidemark/shared/window-row'
import type { Context } from 'hono'
import { z } from 'zod'
import type { GatewayConfig } from './config.ts'
import { RequestFault } from './problem.ts'
import { keyParameter, readQuery } from './query.ts'
import type { Services } from './services.ts'

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
    const row = await store.gateway.window({ partition: partitionOf(key, store.partitions), key })
    if (row === null) throw new RequestFault({ kind: 'key-unknown' })
    const window = decodeRow(row)
    if (window === undefined) throw new Error(`the window of ${JSON.stringify(key)} is not a row`)
    const { count, values, timestamps } = window
    return c.json({ key, count, values, timestamps })
  }
}
