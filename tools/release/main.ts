import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { run } from '../lib/docker.ts'
import { type Command, Failure, flag, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { ROOT } from '../lib/project.ts'
import { createSbom, lockSchema } from './sbom.ts'

const COMMAND = {
  call: 'npm run release --',
  summary: 'Writes a release into dist/: the images, a list of what they contain, and checksums.',
  details:
    'With docker buildx the images are for linux/amd64 and linux/arm64, each an OCI archive; with another Docker ' +
    'engine for this machine only; without one there are none. It says which.',
  options: {
    images: text({ placeholder: 'yes|no', help: 'whether to build images (default: if an engine responds)' }),
    dirty: flag('allow changes that are not committed'),
    folder: text({ placeholder: 'FOLDER', help: 'where to write instead of dist/' }),
  },
  examples: ['', '--images no'],
} satisfies Command

const SERVICES = ['gateway', 'analyzer', 'mqtt'] as const
const PLATFORMS = ['linux/amd64', 'linux/arm64']
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
  await buildImages(folder, labels, values.images)
  await writeChecksums(folder)
  say(`SHA256SUMS: check them with "sha256sum --check SHA256SUMS" in ${folder}`)
  return 0
}

/** Labels of an image, by the last part of their OCI names. */
type Labels = Readonly<Record<string, string>> & { readonly version: string }

async function buildImages(folder: string, labels: Labels, wanted: string | undefined): Promise<void> {
  if (wanted === 'no') return say('no images: --images no')
  const engine = await docker('version', '--format', '{{.Server.Os}}/{{.Server.Arch}}').catch(() => undefined)
  if (engine === undefined) {
    if (wanted === 'yes') throw new Failure('no Docker engine responds: start one, or leave out --images yes')
    return say('no images: no Docker engine responds')
  }
  const hasBuildx = await docker('buildx', 'version').then(
    () => true,
    () => false,
  )
  if (!hasBuildx) say(`docker buildx is not installed: the images are for ${engine} only`)
  const flags = Object.entries(labels).flatMap(([name, value]) => [
    '--label',
    `org.opencontainers.image.${name}=${value}`,
  ])
  for (const service of SERVICES) {
    const tag = `tidemark-${service}:${labels.version}`
    const file = `tidemark-${service}-${labels.version}${hasBuildx ? '.oci' : ''}.tar`
    const path = join(folder, file)
    const common = ['--target', service, '--tag', tag, ...flags]
    if (hasBuildx) {
      await docker(
        'buildx',
        'build',
        '--platform',
        PLATFORMS.join(),
        ...common,
        '--output',
        `type=oci,dest=${path}`,
        ROOT,
      )
    } else {
      await docker('build', ...common, ROOT)
      await docker('save', '--output', path, tag)
    }
    say(`${file}: ${hasBuildx ? PLATFORMS.join(', ') : engine}`)
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

async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { timeout: BUILD_LIMIT_MS, maxBuffer: 1 << 28 })
  return stdout.trim()
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
