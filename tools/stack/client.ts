import { Client as ApiClient, type IngestOptions } from '@tidemark/client/client'
import type { Analysis, IngestResult, Item } from '@tidemark/client/types'

/** A gateway of this computer. Its failures are seen, not retried. */
export class Client extends ApiClient {
  /** Without an API key for a gateway that is open. */
  constructor(port: number, apiKey?: string) {
    super({ url: `http://127.0.0.1:${port}`, retryForMs: 0, ...(apiKey !== undefined && { apiKey }) })
  }

  post(body: string, type = 'application/json'): Promise<Response> {
    return this.request('POST', '/ingest', { body, headers: { 'Content-Type': type } })
  }

  get(path: string): Promise<Response> {
    return this.request('GET', path)
  }

  /** Posts what must be accepted; a string as it is. */
  override ingest(body: string | Item | readonly Item[], options: IngestOptions = {}): Promise<IngestResult> {
    return super.ingest(body as Item, { idempotencyKey: null, ...options })
  }

  /** The analysis of a key; with a receipt, of that sample. */
  analysis(key: string, after?: string): Promise<Analysis> {
    return this.analyze(key, after === undefined ? {} : { after })
  }
}
