import { Client } from '@tidemark/client/client'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Child } from '../stack/child.ts'
import type { Deployment } from './deployment.ts'
import type { Cluster } from './kube.ts'
import { until } from './wait.ts'

const READY_LIMIT_S = 60
const RESTART_MS = 500
const RETRY_FOR_MS = 120_000

/** How clients outside the cluster reach the gateways. */
export interface WayIn extends AsyncDisposable {
  readonly url: string
  readonly title: string
  /** A client with the operator's API key; it retries, as devices should. */
  readonly client: Client
}

/** Opens the given way in, or forwards a port to the Service. */
export async function openWayIn(
  cluster: Cluster,
  deployment: Deployment,
  given: string | undefined,
  stop: AbortSignal,
): Promise<WayIn> {
  const apiKey = await deployment.secret('tidemark-operator', 'api-key')
  const clientOf = (url: string): Client => new Client({ url, apiKey, retryForMs: RETRY_FOR_MS, timeoutMs: 10_000 })
  if (given !== undefined) {
    const client = clientOf(given)
    await until(`a gateway responds at ${given}`, READY_LIMIT_S, stop, () => isReached(given))
    return { url: given, title: given, client, [Symbol.asyncDispose]: async () => {} }
  }
  const forward = await PortForward.start(cluster, deployment.namespace)
  const url = `http://127.0.0.1:${forward.port}`
  const title = 'a port-forward to the Service gateway'
  return { url, title, client: clientOf(url), [Symbol.asyncDispose]: () => forward[Symbol.asyncDispose]() }
}

async function isReached(url: string): Promise<true | undefined> {
  const response = await fetch(`${url}/livez`).catch(() => undefined)
  await response?.body?.cancel()
  return response?.ok === true ? true : undefined
}

/** A port-forward that is opened again when its pod has gone. */
class PortForward implements AsyncDisposable {
  readonly port: number
  #child: Child
  #isStopping = false

  private constructor(child: Child, port: number, open: (port: number) => Child) {
    this.#child = child
    this.port = port
    void this.#keep(open)
  }

  static async start(cluster: Cluster, namespace: string): Promise<PortForward> {
    const open = (port: number): Child =>
      cluster.background('port-forward', ['--namespace', namespace, 'port-forward', 'service/gateway', `${port}:8080`])
    const child = open(0)
    let port = 0
    const isReady = (line: string): boolean => {
      port = Number(/^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0)
      return port !== 0
    }
    await child.ready(isReady, READY_LIMIT_S * 1000)
    return new PortForward(child, port, open)
  }

  async #keep(open: (port: number) => Child): Promise<void> {
    while (!this.#isStopping) {
      await this.#child.exited
      await pause(RESTART_MS)
      if (!this.#isStopping) this.#child = open(this.port)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    await this.#child.stop()
  }
}
