import { spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Agent, request } from 'undici'
import { findKubectl } from '../lib/kubectl.ts'
import { Failure } from '../lib/options.ts'
import { temporaryFolder } from '../lib/project.ts'
import { Child } from '../stack/child.ts'

const READY_LIMIT_MS = 30_000
const COMMAND_LIMIT_MS = 120_000

/** A watch ends by itself after this time and is opened again: a silent one may be dead. */
const WATCH_LIMIT_S = 240
const WATCH_RETRY_MS = 500

/** Lines of stderr in an error message. */
const ERROR_LINES_MAX = 12

export interface Meta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly deletionGracePeriodSeconds?: number
  readonly labels?: Readonly<Record<string, string>>
}

export interface KubeObject {
  readonly kind?: string
  readonly metadata: Meta
}

interface List<T> {
  readonly metadata: { readonly resourceVersion: string }
  readonly items: readonly T[]
}

interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: T
}

/** What a watch reports. After each (re)connection `onList` gets everything there is. */
export interface Watcher<T> {
  onList(items: readonly T[]): void
  onChange(object: T): void
  onDelete(object: T): void
}

/** A response of the API server that is not a success. */
export class KubeError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * A cluster, as kubectl reaches it: its contexts, credentials and plug-ins all work. Requests go
 * through `kubectl proxy` on a socket in a private folder, so no other user can use them.
 */
export class Cluster implements AsyncDisposable {
  readonly #kubectl: string
  readonly #context: readonly string[]
  readonly #agent: Agent
  readonly #resources: AsyncDisposableStack

  private constructor(
    kubectl: string,
    context: readonly string[],
    socketPath: string,
    resources: AsyncDisposableStack,
  ) {
    this.#kubectl = kubectl
    this.#context = context
    this.#agent = new Agent({ connect: { socketPath }, headersTimeout: 60_000, bodyTimeout: 0 })
    this.#resources = resources
  }

  static async open(context: string | undefined): Promise<Cluster> {
    const kubectl = findKubectl()
    if (kubectl === undefined) {
      throw new Failure('no kubectl with kustomize 5 found. Install it: https://kubernetes.io/docs/tasks/tools/')
    }
    await using starting = new AsyncDisposableStack()
    const folder = starting.use(await temporaryFolder('kubectl'))
    const socket = join(folder.path, 'api.sock')
    const chosen = context === undefined ? [] : ['--context', context]
    const args = [...chosen, 'proxy', `--unix-socket=${socket}`]
    const child = starting.use(new Child({ name: 'kubectl proxy', file: kubectl, args, env: process.env }))
    await child
      .ready(line => line.startsWith('Starting to serve'), READY_LIMIT_MS)
      .catch((error: Error) => {
        throw new Failure(`kubectl cannot use ${context ?? 'the current context'}: ${error.message}`)
      })
    const cluster = new Cluster(kubectl, chosen, socket, starting.move())
    try {
      await cluster.get('/version')
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      const reason = error instanceof Error ? error.message : String(error)
      const where = context === undefined ? 'of the current context' : `of the context ${context}`
      throw new Failure(`the API server ${where} does not respond: ${reason}. Check it with: kubectl version`, {
        cause: error,
      })
    }
  }

  /** Runs kubectl and returns its output; `input` is what it reads from `-f -`. */
  async kubectl(args: readonly string[], { input, limitMs = COMMAND_LIMIT_MS }: CommandOptions = {}): Promise<string> {
    const child = spawn(this.#kubectl, [...this.#context, ...args], { timeout: limitMs })
    const chunks: Buffer[] = []
    const errors: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    // A kubectl that ended does not read its input; its exit code says why.
    child.stdin.on('error', () => {})
    child.stdin.end(input ?? '')
    const { promise, resolve } = Promise.withResolvers<number | null>()
    child.on('error', () => resolve(null))
    child.on('close', resolve)
    const code = await promise
    if (code === 0) return Buffer.concat(chunks).toString()
    const lines = Buffer.concat(errors).toString().trim().split('\n').slice(-ERROR_LINES_MAX)
    throw new Failure(`kubectl ${args.slice(0, 3).join(' ')} failed:\n${lines.join('\n')}`)
  }

  /** Runs kubectl in the background, such as a port-forward. */
  background(name: string, args: readonly string[]): Child {
    return new Child({ name, file: this.#kubectl, args: [...this.#context, ...args], env: process.env })
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path)
  }

  /** Returns undefined if there is no such object. */
  async find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(path)
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined
      throw error
    }
  }

  create<T>(path: string, body: object): Promise<T> {
    return this.#call<T>('POST', path, { body })
  }

  /** Changes the given members of an object (JSON merge patch). */
  merge<T>(path: string, body: object): Promise<T> {
    return this.#call<T>('PATCH', path, { body, type: 'application/merge-patch+json' })
  }

  /** Creates or changes an object by server-side apply. */
  apply<T>(path: string, body: object, manager: string): Promise<T> {
    const query = `?fieldManager=${manager}&force=true`
    return this.#call<T>('PATCH', `${path}${query}`, { body, type: 'application/apply-patch+yaml' })
  }

  delete(path: string, body?: object): Promise<unknown> {
    return this.#call('DELETE', path, body === undefined ? {} : { body })
  }

  /** Reports all objects of a path, and each change, until `stop` aborts. */
  async watch<T extends KubeObject>(path: string, watcher: Watcher<T>, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      try {
        const list = await this.get<List<T>>(path)
        watcher.onList(list.items)
        await this.#follow(path, list.metadata.resourceVersion, watcher, stop)
      } catch {
        // The API server restarted, or the version is too old: list again.
        if (!stop.aborted) await pause(WATCH_RETRY_MS, stop)
      }
    }
  }

  async #follow<T extends KubeObject>(path: string, from: string, watcher: Watcher<T>, stop: AbortSignal) {
    const query = `watch=true&allowWatchBookmarks=true&resourceVersion=${from}&timeoutSeconds=${WATCH_LIMIT_S}`
    const { body } = await request(`${ORIGIN}${path}?${query}`, { dispatcher: this.#agent, signal: stop })
    for await (const line of createInterface({ input: body })) {
      const { type, object } = JSON.parse(line) as WatchEvent<T>
      if (type === 'ERROR') return
      if (type === 'DELETED') watcher.onDelete(object)
      else if (type !== 'BOOKMARK') watcher.onChange(object)
    }
  }

  async #call<T>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    { body, type }: CallOptions = {},
  ): Promise<T> {
    const response = await request(`${ORIGIN}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': type ?? 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    })
    const text = await response.body.text()
    if (response.statusCode < 300) return JSON.parse(text) as T
    throw new KubeError(response.statusCode, `${method} ${path}: ${reasonOf(text)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
    await this.#resources.disposeAsync()
  }
}

/** The only host that kubectl proxy accepts on a socket. */
const ORIGIN = 'http://localhost'

interface CommandOptions {
  readonly input?: string
  readonly limitMs?: number
}

interface CallOptions {
  readonly body?: object
  readonly type?: string
}

/** Returns the message of a Status object, or the text itself. */
function reasonOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: string }
    return message ?? text
  } catch {
    return text.trim()
  }
}

/** Removes a folder that may be written to. */
export function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 5 })
}
