import type { Analysis } from '@tidemark/shared/verdict/analysis'

/** What `POST /ingest` answers with 202. */
export interface Accepted {
  readonly accepted: number
  readonly rejected: readonly { readonly index: number; readonly reason: string }[]
  readonly receipts: readonly string[]
}

/** One gateway as a device or an operator sees it. */
export class Client {
  readonly #base: string
  readonly #headers: Readonly<Record<string, string>>

  /** Without an API key for a gateway that is open. */
  constructor(port: number, apiKey?: string) {
    this.#base = `http://127.0.0.1:${port}`
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  }

  post(body: string, type = 'application/json'): Promise<Response> {
    return fetch(`${this.#base}/ingest`, { method: 'POST', body, headers: { ...this.#headers, 'content-type': type } })
  }

  /** Posts what must be accepted. */
  async ingest(body: unknown, type?: string): Promise<Accepted> {
    const response = await this.post(typeof body === 'string' ? body : JSON.stringify(body), type)
    if (response.status !== 202) throw new Error(`POST /ingest: ${response.status} ${await response.text()}`)
    return (await response.json()) as Accepted
  }

  get(path: string): Promise<Response> {
    return fetch(`${this.#base}${path}`, { headers: this.#headers })
  }

  /** The analysis of a key; with a receipt, of that sample. */
  async analysis(key: string, after?: string): Promise<Analysis> {
    const query = new URLSearchParams({ key, ...(after === undefined ? {} : { after, wait: '5000' }) })
    const response = await this.get(`/analyze?${query}`)
    if (response.status !== 200) throw new Error(`GET /analyze?${query}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Analysis
  }
}
