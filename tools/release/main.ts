import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { type BaseImages, findBaseImages, wantedBaseImages } from '../images/base-images.ts'
import { buildArguments, readRegistry, SERVICES } from '../images/service-images.ts'
import { buildClient, type Docker, dockerClient, run, succeeds } from '../lib/docker.ts'
import { type Command, Failure, flag, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { ROOT } from '../lib/project.ts'
import { findDockerEngine } from '../stack/docker-engine.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { createSbom, lockSchema } from './sbom.ts'

const COMMAND = {
  call: 'npm run release --',
  summary: 'Writes a release into dist/: the images, a list of what they contain, and checksums.',
  details:
    'With docker buildx the images are for linux/amd64 and linux/arm64, each an OCI archive; with another Docker ' +
    'engine for this machine only; without one there are none. It says which. BUILD_IMAGE and NODE_IMAGE replace the ' +
    'base images of the Dockerfile.',
  options: {
    images: text({ placeholder: 'yes|no', help: 'whether to build images (default: if an engine responds)' }),
    rehearse: flag('as npm run images does: with a temporary engine and substitutes for base images, if need be'),
    dirty: flag('allow changes that are not committed'),
    folder: text({ placeholder: 'FOLDER', help: 'where to write instead of dist/' }),
  },
  examples: ['', '--images no'],
} satisfies Command

const PLATFORMS = ['linux/amd64', 'linux/arm64']
/** Of the engine, for `docker version`. */
const PLATFORM = '{{.Server.Os}}/{{.Server.Arch}}'
const RELEASED = /^(?:tidemark-.*\.(?:tar|json)|SHA256SUMS)$/
const BUILD_LIMIT_MS = 3_600_000

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  // npm runs scripts in the project's folder; paths are of the caller's.
  const folder = values.folder === undefined ? join(ROOT, 'dist') : resolve(process.env.INIT_CWD ?? '.', values.folder)
  const version = z.object({ version: z.string() }).parse(JSON.parse(await readText('package.json'))).version
  const changes = await git('status', '--porcelain')
  if (changes !== '' && !values.dirty) {
    throw new Failure('there are changes that are not committed: commit them, or add --dirty')
  }
  const revision = (await git('rev-parse', 'HEAD')) + (changes === '' ? '' : '-dirty')
  const source = (await git('config', '--get', 'remote.origin.url').catch(() => '')).replace(/\/\/[^/@]*@/, '//')
  const time = await git('show', '--no-patch', '--format=%cI', 'HEAD')
  await mkdir(folder, { recursive: true })
  // Of an earlier release; the folder may be used for other files too.
  for (const file of await readdir(folder)) {
    if (RELEASED.test(file)) await rm(join(folder, file))
  }

  const lock = lockSchema.parse(parse(await readText('pnpm-lock.yaml')))
  const sbom = createSbom(lock, { version, revision, time, roots: SERVICES.map(service => `packages/${service}`) })
  const sbomFile = `tidemark-${version}.cdx.json`
  await writeFile(join(folder, sbomFile), `${JSON.stringify(sbom, null, 2)}\n`)
  say(`${sbomFile}: ${sbom.components.length} packages`)

  const labels = { version, revision, created: time, ...(source !== '' && { source }) }
  if (values.images === 'no') say('no images: --images no')
  else if (values.rehearse) await rehearseImages(folder, labels)
  else await buildImages(folder, labels, values.images === 'yes')
  await writeChecksums(folder)
  say(`SHA256SUMS: check them with "sha256sum --check SHA256SUMS" in ${folder}`)
  return 0
}

/** Labels of an image, by the last part of their OCI names. */
type Labels = Readonly<Record<string, string>> & { readonly version: string }

async function buildImages(folder: string, labels: Labels, areRequired: boolean): Promise<void> {
  const platform = await dockerClient({})(['version', '--format', PLATFORM]).catch(() => undefined)
  if (platform === undefined) {
    if (areRequired) throw new Failure('no Docker engine responds: start one, or leave out --images yes')
    return say('no images: no Docker engine responds')
  }
  const docker = await buildClient({})
  const hasBuildx = await succeeds(docker, ['buildx', 'version'])
  if (!hasBuildx) say(`docker buildx is not installed: the images are for ${platform} only`)
  const bases = await wantedBaseImages()
  await writeImages(docker, { folder, labels, bases, platforms: hasBuildx ? PLATFORMS : undefined, platform })
}

async function rehearseImages(folder: string, labels: Labels): Promise<void> {
  using interrupts = watchInterrupts()
  const engine = await findDockerEngine(say)
  if ('unavailable' in engine) throw new Failure(engine.unavailable)
  await using _engine = engine
  const docker = await buildClient(engine.env)
  const platform = await docker(['version', '--format', PLATFORM])
  const bases = await findBaseImages(docker, interrupts.stop)
  if (bases.isMade) say('the base images are substitutes: do not publish these images')
  await writeImages(docker, { folder, labels, bases, platforms: undefined, platform })
}

interface ImagesOptions {
  readonly folder: string
  readonly labels: Labels
  readonly bases: BaseImages
  /** Of a builder for several; undefined: that of the engine. */
  readonly platforms: readonly string[] | undefined
  readonly platform: string
}

async function writeImages(docker: Docker, options: ImagesOptions): Promise<void> {
  const { folder, labels, bases, platforms, platform } = options
  const registry = await readRegistry()
  const named = Object.entries({ ...labels, 'base.name': bases.node }).map(
    ([name, value]) => [`org.opencontainers.image.${name}`, value] as const,
  )
  for (const service of SERVICES) {
    const tag = `tidemark-${service}:${labels.version}`
    const file = `tidemark-${service}-${labels.version}${platforms === undefined ? '' : '.oci'}.tar`
    const path = join(folder, file)
    const args = buildArguments(service, { tag, bases, registry, labels: Object.fromEntries(named) })
    const limits = { limitMs: BUILD_LIMIT_MS }
    if (platforms === undefined) {
      await docker(['build', ...args, ROOT], limits)
      await docker(['save', '--output', path, tag], limits)
    } else {
      const output = ['--platform', platforms.join(), '--output', `type=oci,dest=${path}`]
      await docker(['buildx', 'build', ...args, ...output, ROOT], limits)
    }
    say(`${file}: ${platforms?.join(', ') ?? platform}`)
  }
}

async function writeChecksums(folder: string): Promise<void> {
  const lines: string[] = []
  for (const file of (await readdir(folder)).filter(name => RELEASED.test(name)).toSorted()) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(join(folder, file)), hash)
    lines.push(`${hash.digest('hex')}  ${file}\n`)
  }
  await writeFile(join(folder, 'SHA256SUMS'), lines.join(''))
}

async function git(...args: readonly string[]): Promise<string> {
  return (await run('git', args, { cwd: ROOT })).stdout.trim()
}

function readText(file: string): Promise<string> {
  return readFile(join(ROOT, file), 'utf8')
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
