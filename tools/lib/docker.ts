import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { temporaryFolder } from './project.ts'

/** Runs a program until it ends and returns its output. */
export const run = promisify(execFile)

const LIMIT_MS = 60_000
const OUTPUT_BYTES_MAX = 1 << 28
const ERROR_LINES_MAX = 30

/** From this version on the client builds with the plug-in buildx, which may be missing. */
const PLUGIN_SINCE = 23

const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

interface DockerOptions {
  readonly limitMs?: number
  /** For commands that take long. Those that clean up must not be interrupted. */
  readonly signal?: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  readonly withErrors?: boolean
}

/** Runs the client and returns its output; rejects with the last lines of stderr. */
export type Docker = (args: readonly string[], options?: DockerOptions) => Promise<string>

/** Returns a client for the engine that `env` selects. */
export function dockerClient(env: Readonly<Record<string, string>>, program = 'docker'): Docker {
  return async (args, { limitMs = LIMIT_MS, signal, env: more, withErrors = false } = {}) => {
    try {
      const { stdout, stderr } = await run(program, args, {
        env: { ...process.env, ...env, ...more },
        timeout: limitMs,
        maxBuffer: OUTPUT_BYTES_MAX,
        signal,
      })
      return (withErrors ? stdout + stderr : stdout).trim()
    } catch (error) {
      throw new Error(`docker ${args.slice(0, 2).join(' ')} failed${lastLines(error)}`, { cause: error })
    }
  }
}

/**
 * Returns a client that can build with BuildKit, because the Dockerfile mounts secrets. The first
 * one on PATH may lack the plug-in that an older one behind it does not need.
 */
export async function buildClient(env: Readonly<Record<string, string>>): Promise<Docker> {
  const programs = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'docker'))
  for (const program of programs.filter(existsSync)) {
    const docker = dockerClient({ DOCKER_BUILDKIT: '1', ...env }, program)
    if (await canBuild(docker)) return docker
  }
  throw new Error('no docker client on PATH can build with BuildKit: its plug-in docker-buildx is missing')
}

export function succeeds(docker: Docker, args: readonly string[], options?: DockerOptions): Promise<boolean> {
  return docker(args, options).then(
    () => true,
    () => false,
  )
}

/** Makes an image of programs (path here to path in the image) and their shared libraries only. */
export async function importPrograms(docker: Docker, image: string, programs: ReadonlyMap<string, string>) {
  await using folder = await temporaryFolder('docker')
  const { stdout: loaded } = await run('ldd', [...programs.keys()])
  const libraries = [...loaded.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = '']) => [path, path] as const)
  for (const [from, to] of [...programs, ...libraries]) {
    await mkdir(join(folder.path, dirname(to)), { recursive: true })
    await copyFile(from, join(folder.path, to))
  }
  await importFolder(docker, image, folder.path)
}

export async function importFolder(docker: Docker, image: string, folder: string): Promise<void> {
  await using archive = await temporaryFolder('docker')
  const file = join(archive.path, 'root.tar')
  await run('tar', ['--create', '--file', file, '--directory', folder, '.'])
  await docker(['import', '--change', PATH, file, image])
}

async function canBuild(docker: Docker): Promise<boolean> {
  if (await succeeds(docker, ['buildx', 'version'])) return true
  const version = await docker(['version', '--format', '{{.Client.Version}}']).catch(() => String(PLUGIN_SINCE))
  return Number.parseInt(version, 10) < PLUGIN_SINCE
}

function lastLines(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
  return stderr === '' ? '' : `:\n${stderr.split('\n').slice(-ERROR_LINES_MAX).join('\n')}`
}
