import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type Docker, run } from '../lib/docker.ts'
import { ROOT, temporaryFolder } from '../lib/project.ts'
import type { BaseImages } from './base-images.ts'

const BUILD_LIMIT_MS = 600_000
const SIZE_MAX_BYTES = 300e6

/** Some engines save layers compressed. */
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])

export const SERVICES = ['gateway', 'analyzer', 'mqtt'] as const
export type Service = (typeof SERVICES)[number]

export function imageOf(service: Service): string {
  return `tidemark-${service}:local`
}

/** How this computer reaches the npm registry. An image must contain none of it. */
export interface Registry {
  readonly host: string
  readonly npmrc: string | undefined
  readonly certificates: string | undefined
  readonly secrets: readonly string[]
}

export async function readRegistry(): Promise<Registry> {
  const [registry, npmrc, cafile] = await Promise.all(['registry', 'userconfig', 'cafile'].map(npmSetting))
  if (registry === undefined) throw new Error('npm has no setting "registry"')
  const text = await readFile(npmrc ?? '', 'utf8').catch(() => '')
  const secrets = [...text.matchAll(/_(?:authToken|auth|password)\s*=\s*"?([^"\s]+)/g)].map(([, secret = '']) => secret)
  return {
    host: new URL(registry).host,
    npmrc: text === '' ? undefined : npmrc,
    certificates: process.env.NODE_EXTRA_CA_CERTS ?? cafile,
    secrets,
  }
}

async function npmSetting(name: string): Promise<string | undefined> {
  const { stdout } = await run('npm', ['config', 'get', name])
  const value = stdout.trim()
  return value === '' || value === 'null' || value === 'undefined' ? undefined : value
}

interface BuildOptions {
  readonly tag: string
  readonly bases: BaseImages
  readonly registry: Registry
  readonly labels?: Readonly<Record<string, string>>
}

/** Returns what any builder needs for a service's image, with the secrets to reach the registry. */
export function buildArguments(service: Service, { tag, bases, registry, labels = {} }: BuildOptions): string[] {
  const args = ['--target', service, '--tag', tag]
  args.push('--build-arg', `BUILD_IMAGE=${bases.build}`, '--build-arg', `NODE_IMAGE=${bases.node}`)
  for (const [name, value] of Object.entries(labels)) args.push('--label', `${name}=${value}`)
  // A temporary engine's bridge has no route outside. Other engines may forbid the host's network.
  if (bases.isMade) args.push('--network', 'host')
  for (const [id, file] of Object.entries({ npmrc: registry.npmrc, ca: registry.certificates })) {
    if (file !== undefined && existsSync(file)) args.push('--secret', `id=${id},src=${file}`)
  }
  return args
}

/** Builds a service's image from the working tree. */
export async function buildImage(
  docker: Docker,
  service: Service,
  options: Omit<BuildOptions, 'tag'> & { readonly signal: AbortSignal },
): Promise<void> {
  const args = buildArguments(service, { ...options, tag: imageOf(service) })
  await docker(['build', ...args, ROOT], { limitMs: BUILD_LIMIT_MS, signal: options.signal })
}

/** Returns the size of an image and the part of it that its base does not have. */
export async function sizeOf(docker: Docker, image: string, base: string) {
  const [bytes = 0, baseBytes = 0] = await Promise.all(
    [image, base].map(async name => Number(await docker(['image', 'inspect', '--format', '{{.Size}}', name]))),
  )
  if (bytes > SIZE_MAX_BYTES) throw new Error(`${image} has ${bytes} bytes, more than ${SIZE_MAX_BYTES}`)
  return { bytes, addedBytes: bytes - baseBytes }
}

/** Returns which of `words` occur in the image's configuration, history or own layers. */
export async function findInImage(
  docker: Docker,
  { image, base, words }: { image: string; base: string; words: readonly string[] },
): Promise<readonly string[]> {
  await using folder = await temporaryFolder('docker')
  await docker(['save', '--output', join(folder.path, 'image.tar'), image])
  await run('tar', ['--extract', '--file', join(folder.path, 'image.tar'), '--directory', folder.path])
  const manifest: unknown = JSON.parse(await readFile(join(folder.path, 'manifest.json'), 'utf8'))
  const [{ Config, Layers }] = manifest as [{ readonly Config: string; readonly Layers: readonly string[] }]
  const baseLayers = Number(await docker(['image', 'inspect', '--format', '{{len .RootFS.Layers}}', base]))
  const found = new Set<string>()
  for (const name of [Config, ...Layers.slice(baseLayers)]) {
    const bytes = await readFile(join(folder.path, name))
    const content = bytes.subarray(0, 2).equals(GZIP_MAGIC) ? gunzipSync(bytes) : bytes
    for (const word of words) if (content.includes(word)) found.add(word)
  }
  return [...found]
}
