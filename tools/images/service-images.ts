import { access } from 'node:fs/promises'
import type { Docker } from '../lib/docker.ts'
import { ROOT } from '../lib/project.ts'
import type { BaseImages } from './base-images.ts'
import type { Registry } from './registry.ts'

const BUILD_LIMIT_MS = 600_000

/** The replaced service promised images smaller than this. */
const SIZE_MAX_BYTES = 300e6

export const SERVICES = ['gateway', 'analyzer'] as const
export type Service = (typeof SERVICES)[number]

export function imageOf(service: Service): string {
  return `tidemark-${service}:local`
}

export interface BuildOptions {
  readonly bases: BaseImages
  readonly registry: Registry
  readonly signal: AbortSignal
}

/** Builds a service's image from the working tree as anybody would, with what is needed to reach the npm registry from here. */
export async function buildImage(docker: Docker, service: Service, options: BuildOptions): Promise<void> {
  const { bases, registry, signal } = options
  const secrets = [
    ['npmrc', registry.npmrc],
    ['ca', registry.certificates],
  ] as const
  const args = ['build', '--target', service, '--tag', imageOf(service)]
  args.push('--build-arg', `BUILD_IMAGE=${bases.build}`, '--build-arg', `NODE_IMAGE=${bases.node}`)
  // Our own engine leads nowhere from its bridge; others may not allow the host's network to a build.
  if (bases.isMade) args.push('--network', 'host')
  for (const [id, file] of secrets) {
    if (file !== undefined && (await isFile(file))) args.push('--secret', `id=${id},src=${file}`)
  }
  await docker([...args, ROOT], { limitMs: BUILD_LIMIT_MS, signal })
}

export interface ImageSize {
  readonly bytes: number
  /** What our own layers add to the base. */
  readonly addedBytes: number
}

export async function sizeOf(docker: Docker, image: string, base: string): Promise<ImageSize> {
  const [bytes = 0, baseBytes = 0] = await Promise.all(
    [image, base].map(async name => Number(await docker(['image', 'inspect', '--format', '{{.Size}}', name]))),
  )
  if (bytes > SIZE_MAX_BYTES) throw new Error(`${image} has ${bytes} bytes, more than ${SIZE_MAX_BYTES}`)
  return { bytes, addedBytes: bytes - baseBytes }
}

function isFile(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
