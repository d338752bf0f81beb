import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { z } from 'zod'
import type { ProbeResult } from './metrics.ts'

export interface ProbeOptions {
  readonly url: string
  readonly key: string
  readonly apiKey: string | undefined
  readonly timeoutMs: number
  readonly stop: AbortSignal
}

/** `reason` says what is wrong; undefined if nothing is. */
export interface Probe {
  readonly result: ProbeResult
  readonly reason?: string
}

/** A constant, so that the canary never is an anomaly. */
const VALUE = 1

const stored = z.object({ receipts: z.array(z.string()).min(1) })
const verdict = z.object({ id: z.string(), value: z.literal(VALUE) })

/** Sends a sample the way that clients do, and reads the verdict on exactly this sample. */
export async function probe({ url, key, apiKey, timeoutMs, stop }: ProbeOptions): Promise<Probe> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)])
  const authorization = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  const at = (path: string): URL => new URL(path, url.endsWith('/') ? url : `${url}/`)
  let sent: Response
  try {
    sent = await fetch(at('ingest'), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization },
      body: JSON.stringify({ key, value: VALUE }),
      redirect: 'manual',
      signal,
    })
  } catch (error) {
    return { result: 'unreachable', reason: `no response: ${causeOf(error)}` }
  }
  try {
    const receipt = stored.safeParse(await bodyOf(sent)).data?.receipts[0]
    if (sent.status !== 202 || receipt === undefined) return { result: 'refused', reason: `got ${sent.status}` }
    const query = new URLSearchParams({ key, after: receipt })
    const response = await fetch(at(`analyze?${query}`), { headers: authorization, redirect: 'manual', signal })
    const isVerdict = verdict.safeParse(await bodyOf(response)).data?.id === receipt
    return isVerdict ? { result: 'ok' } : { result: 'no_verdict', reason: `got ${response.status} without it` }
  } catch (error) {
    return { result: sent.status === 202 ? 'no_verdict' : 'refused', reason: causeOf(error) }
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  const text = await response.text()
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Returns the reason of a failed fetch, whose own message is always the same. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}

/**
 * Returns when the certificate of the way in expires, in Unix milliseconds: also of one that has
 * expired or that is not trusted, with which no sample gets in. Undefined without TLS or response.
 */
export function certificateExpiry(url: string, timeoutMs: number): Promise<number | undefined> {
  const { protocol, hostname, port } = new URL(url)
  if (protocol !== 'https:') return Promise.resolve(undefined)
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  const host = hostname.replace(/^\[|\]$/g, '')
  // An address is no server name (RFC 6066).
  const servername = isIP(host) === 0 ? host : ''
  const socket = connect({ host, servername, port: Number(port || 443), rejectUnauthorized: false }, () => {
    resolve(Date.parse(socket.getPeerCertificate().valid_to))
    socket.destroy()
  })
  socket.setTimeout(timeoutMs, () => socket.destroy())
  socket.on('error', () => resolve(undefined))
  socket.on('close', () => resolve(undefined))
  return promise
}
