import { buildClient, type Docker } from '../lib/docker.ts'
import { type Command, parseCommandLine, runCommand } from '../lib/options.ts'
import { findDockerEngine } from '../stack/docker-engine.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { findBaseImages } from './base-images.ts'
import { runCompose } from './compose.ts'
import { runPipeline } from './pipeline.ts'
import { Report } from './report.ts'
import { buildImage, findInImage, imageOf, readRegistry, SERVICES, sizeOf } from './service-images.ts'

const COMMAND = {
  call: 'npm run images --',
  summary: 'Builds the images of gateway and analyzer and runs the whole pipeline in containers of them.',
  details: `It uses the Docker engine that responds. Root on Debian gets a temporary one if there is none. BUILD_IMAGE and
NODE_IMAGE replace the base images that the Dockerfile names. If none of them can be pulled, root makes substitutes with
debootstrap. Containers, networks and images are removed at the end.`,
  options: {},
  examples: [''],
} satisfies Command

/** Occurs in every image of a service, so a search that does not find it proves nothing. */
const CONTROL = 'main.mjs'

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => {
  parseCommandLine(COMMAND, args)
  return main()
})

async function main(): Promise<number> {
  using interrupts = watchInterrupts()
  try {
    await run(new Report(interrupts.stop), interrupts.stop)
    process.stdout.write('\nThe images are good.\n')
    return 0
  } catch (error) {
    process.stderr.write(`\ntidemark: ${interrupts.stop.aborted ? 'stopped' : describe(error)}\n`)
    return 1
  }
}

async function run(report: Report, signal: AbortSignal): Promise<void> {
  await using engine = await report.step(
    'a Docker engine',
    async () => {
      const found = await findDockerEngine(() => {})
      if ('unavailable' in found) throw new Error(found.unavailable)
      return found
    },
    ({ env }) => (env.DOCKER_HOST === undefined ? 'the one that responds' : 'a temporary one'),
  )
  const redisImage = engine.env.TIDEMARK_TEST_REDIS_IMAGE ?? ''
  const docker = await buildClient(engine.env)
  const bases = await report.step(
    'base images',
    () => findBaseImages(docker, signal),
    ({ build, node, isMade }) => (isMade ? 'substitutes made here: nothing can be pulled' : `${build}, ${node}`),
  )
  await using cleaning = new AsyncDisposableStack()
  cleaning.defer(() => removeImages(docker, bases.isMade ? [bases.build, bases.node] : []))
  const registry = await readRegistry()
  const words = [registry.host, ...registry.secrets]

  for (const service of SERVICES) {
    const image = imageOf(service)
    await report.step(`${service}: the image builds`, async () => {
      await buildImage(docker, service, { bases, registry, signal })
      const { bytes, addedBytes } = await sizeOf(docker, image, bases.node)
      return `${(bytes / 1e6).toFixed(1)} MB, ${(addedBytes / 1e6).toFixed(1)} MB more than its base`
    })
    await report.step(`${service}: no trace of the registry`, async () => {
      const found = await findInImage(docker, { image, base: bases.node, words: [...words, CONTROL] })
      if (!found.includes(CONTROL)) throw new Error(`the search finds nothing in ${image}, not even ${CONTROL}`)
      if (found.length > 1) throw new Error(`${image} contains ${found.length - 1} of ${words.length} forbidden words`)
      return `neither the host nor any of ${registry.secrets.length} secrets`
    })
  }
  await runPipeline({ docker, redisImage, report })
  await runCompose({ docker, redisImage, report })
}

async function removeImages(docker: Docker, made: readonly string[]): Promise<void> {
  // If an earlier step failed, some of them do not exist.
  for (const image of [...SERVICES.map(imageOf), ...made]) await docker(['image', 'rm', image]).catch(() => {})
}

/** Returns the message of an error and of its causes, the first cause last. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, cause } = error
  return cause instanceof Error && cause.message !== '' ? `${message}\n${describe(cause)}` : message
}
