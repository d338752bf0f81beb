import { buildClient, type Docker } from '../lib/docker.ts'
import { findDockerEngine } from '../stack/docker-engine.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { findBaseImages } from './base-images.ts'
import { runCompose } from './compose.ts'
import { findInImage } from './layers.ts'
import { runPipeline } from './pipeline.ts'
import { readRegistry } from './registry.ts'
import { Report } from './report.ts'
import { buildImage, imageOf, SERVICES, sizeOf } from './service-images.ts'

const HELP = `Builds the images of gateway and analyzer and runs the whole pipeline in containers of them.

Usage: npm run images

It uses the Docker engine that answers; where there is none, and this is root on Debian or Ubuntu, one of its own for the
occasion. BUILD_IMAGE and NODE_IMAGE are built on instead of the images that the Dockerfile names; where none of them can
be pulled, root makes stand-ins with debootstrap. At the end containers, networks and images are removed.
`

/** Stands in every image of ours, so a search that misses it proves nothing. */
const CONTROL = 'main.mjs'

if (process.argv.slice(2).some(argument => argument === '--help' || argument === '-h')) process.stdout.write(HELP)
else process.exitCode = await main()

async function main(): Promise<number> {
  using interrupts = watchInterrupts()
  const report = new Report({ stop: interrupts.stop, write: text => void process.stdout.write(text) })
  try {
    await run(report, interrupts.stop)
    process.stdout.write('\nThe images are good.\n')
    return 0
  } catch (error) {
    process.stderr.write(`\ntidemark: ${interrupts.stop.aborted ? 'stopped' : describe(error)}\n`)
    return 1
  }
}

async function run(report: Report, signal: AbortSignal): Promise<void> {
  const engine = await report.step(
    'a Docker engine',
    async () => {
      const found = await findDockerEngine(() => {})
      if ('unavailable' in found) throw new Error(found.unavailable)
      return found
    },
    ({ env }) => (env.DOCKER_HOST === undefined ? 'the one that answers' : 'one for the occasion'),
  )
  await using _engine = engine
  const redisImage = engine.env.TIDEMARK_TEST_REDIS_IMAGE ?? ''
  const docker = await buildClient(engine.env)
  const bases = await report.step(
    'base images',
    () => findBaseImages(docker, signal),
    ({ build, node, isMade }) => (isMade ? 'stand-ins made here: nothing can be pulled' : `${build}, ${node}`),
  )
  await using _images = {
    [Symbol.asyncDispose]: () => removeImages(docker, bases.isMade ? [bases.build, bases.node] : []),
  }
  const registry = await readRegistry()
  const words = [registry.host, ...registry.secrets]

  for (const service of SERVICES) {
    const image = imageOf(service)
    await report.step(
      `${service}: the image builds`,
      async () => {
        await buildImage(docker, service, { bases, registry, signal })
        return sizeOf(docker, image, bases.node)
      },
      ({ bytes, addedBytes }) => `${megabytes(bytes)}, of it ours ${megabytes(addedBytes)}`,
    )
    await report.check(`${service}: no trace of the registry`, async () => {
      const found = await findInImage(docker, { image, base: bases.node, words: [...words, CONTROL] })
      if (!found.includes(CONTROL)) throw new Error(`the search finds nothing in ${image}, not even ${CONTROL}`)
      if (found.length > 1)
        throw new Error(`${image} holds ${found.length - 1} of ${words.length} words that it must not`)
      return `neither the host nor any of ${registry.secrets.length} secrets`
    })
  }
  await runPipeline({ docker, redisImage, report })
  await runCompose({ docker, redisImage, report })
}

async function removeImages(docker: Docker, made: readonly string[]): Promise<void> {
  // Some of them were not built when something failed before.
  for (const image of [...SERVICES.map(imageOf), ...made]) await docker(['image', 'rm', image]).catch(() => {})
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

/** The error and what caused it, the cause last: it is what somebody looks for. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && error.cause.message !== ''
    ? `${error.message}\n${describe(error.cause)}`
    : error.message
}
