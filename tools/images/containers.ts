import assert from 'node:assert/strict'
import type { Docker } from '../lib/docker.ts'

/** Privileges that the services must not need. */
const CONFINEMENT = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'] as const

const STOP_LIMIT_S = 30
const LOG_LINES = 8

interface ContainerOptions {
  readonly image: string
  /** Its name, which is also its host name in the network. */
  readonly name: string
  /** `uid:gid`, by number. */
  readonly user: string
  readonly env?: Readonly<Record<string, string>>
  readonly options?: readonly string[]
  readonly command?: readonly string[]
}

/** A network with containers in it; disposing it removes them all. */
export class Containers implements AsyncDisposable {
  readonly #docker: Docker
  readonly #network: string
  readonly #names: string[] = []

  private constructor(docker: Docker, network: string) {
    this.#docker = docker
    this.#network = network
  }

  static async inNetwork(docker: Docker, network: string): Promise<Containers> {
    await docker(['network', 'create', network])
    return new Containers(docker, network)
  }

  /** Starts a container without privileges as `user`. */
  async start({ image, name, user, env = {}, options = [], command = [] }: ContainerOptions): Promise<void> {
    const full = this.#full(name)
    this.#names.push(name)
    const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`])
    const place = ['--name', full, '--network', this.#network, '--network-alias', name, '--user', user]
    await this.#docker(['run', '--detach', ...place, ...CONFINEMENT, ...variables, ...options, image, ...command])
  }

  /** Runs a container that must end with an error; returns what it wrote. */
  async failing(options: ContainerOptions): Promise<string> {
    await this.start(options)
    const exitCode = await this.#docker(['wait', this.#full(options.name)])
    assert.notEqual(exitCode, '0', `${options.name} ended with 0`)
    return await this.#docker(['logs', this.#full(options.name)], { withErrors: true })
  }

  /** Stops a container, which must exit with 0 within `limitMs`; returns what was observed. */
  async stop(name: string, limitMs: number): Promise<string> {
    const begin = performance.now()
    await this.#docker(['stop', '--time', String(STOP_LIMIT_S), this.#full(name)])
    const durationMs = performance.now() - begin
    const exitCode = await this.#inspect(name, '{{.State.ExitCode}}')
    assert.equal(exitCode, '0', `${name} ended with ${exitCode}`)
    assert(durationMs < limitMs, `${name} took ${durationMs} ms to stop`)
    return `exit ${exitCode} in ${(durationMs / 1000).toFixed(2)} s`
  }

  async port(name: string, inner: number): Promise<number> {
    const published = await this.#docker(['port', this.#full(name), String(inner)])
    return Number(/:(\d+)$/m.exec(published)?.[1])
  }

  /** Runs JavaScript in the container: node is the only program that every image has. */
  evaluate(name: string, script: string): Promise<string> {
    return this.#docker(['exec', this.#full(name), 'node', '--eval', script])
  }

  async checkHealth(name: string): Promise<void> {
    const status = await this.#inspect(name, '{{.State.Health.Status}}')
    if (status === 'healthy') return
    throw new Error(`${name} is ${status}: ${await this.#inspect(name, '{{json .State.Health.Log}}')}`)
  }

  async logs(): Promise<string> {
    const all = this.#names.map(async name => {
      const args = ['logs', '--tail', String(LOG_LINES), this.#full(name)]
      return `--- ${name}\n${await this.#docker(args, { withErrors: true })}`
    })
    return (await Promise.all(all)).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const names = this.#names.map(name => this.#full(name))
    if (names.length > 0) await this.#docker(['rm', '--force', '--volumes', ...names])
    await this.#docker(['network', 'rm', this.#network])
  }

  #inspect(name: string, format: string): Promise<string> {
    return this.#docker(['inspect', '--format', format, this.#full(name)])
  }

  #full(name: string): string {
    return `${this.#network}-${name}`
  }
}
