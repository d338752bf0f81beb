import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const LIMIT_MS = 60_000
const OUTPUT_BYTES_MAX = 1 << 28
const ERROR_LINES_MAX = 30

/** From this version on the client builds with a plug-in, buildx, which is not installed everywhere. */
const PLUGIN_SINCE = 23

export interface DockerOptions {
  readonly limitMs?: number
  /** For commands that take long; those that tidy up must not be interrupted. */
  readonly signal?: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  /** Whether what it wrote to stderr is returned as well. */
  readonly withErrors?: boolean
}

/** Runs the client with these arguments and returns what it wrote; rejects with its last words when it fails. */
export type Docker = (args: readonly string[], options?: DockerOptions) => Promise<string>

/**
 * A client for the engine that `env` leads to, and one that can build with BuildKit: the Dockerfile mounts secrets. A computer
 * may have several, and the first on PATH may lack the plug-in that the older one behind it does not need.
 */
export async function dockerClient(env: Readonly<Record<string, string>>): Promise<Docker> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const program = join(folder, 'docker')
    const isThere = await access(program).then(
      () => true,
      () => false,
    )
    if (!isThere) continue
    const docker = clientOf(program, { DOCKER_BUILDKIT: '1', ...env })
    if (await canBuild(docker)) return docker
  }
  throw new Error('no docker client on PATH can build with BuildKit: its plug-in docker-buildx is missing')
}

/** Whether the command succeeds. */
export function succeeds(docker: Docker, args: readonly string[], options?: DockerOptions): Promise<boolean> {
  return docker(args, options).then(
    () => true,
    () => false,
  )
}

async function canBuild(docker: Docker): Promise<boolean> {
  if (await succeeds(docker, ['buildx', 'version'])) return true
  const version = await docker(['version', '--format', '{{.Client.Version}}']).catch(() => String(PLUGIN_SINCE))
  return Number.parseInt(version, 10) < PLUGIN_SINCE
}

function clientOf(program: string, env: Readonly<Record<string, string>>): Docker {
  return async (args, options = {}) => {
    try {
      const { stdout, stderr } = await run(program, args, {
        env: { ...process.env, ...env, ...options.env },
        timeout: options.limitMs ?? LIMIT_MS,
        maxBuffer: OUTPUT_BYTES_MAX,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      })
      return (options.withErrors === true ? stdout + stderr : stdout).trim()
    } catch (error) {
      throw new Error(`docker ${args.slice(0, 2).join(' ')} failed${lastWords(error)}`, { cause: error })
    }
  }
}

function lastWords(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
  if (stderr === '') return ''
  return `:\n${stderr.split('\n').slice(-ERROR_LINES_MAX).join('\n')}`
}
