import { join } from 'node:path'
import { buildClient, type Docker, run } from '../lib/docker.ts'
import { findProgram } from '../lib/packages.ts'
import { ROOT, temporaryFolder } from '../lib/project.ts'

const BUILD_LIMIT_MS = 900_000
const LOAD_LIMIT_MS = 300_000

/** A kind of cluster that takes images from this computer. */
export interface Loader {
  readonly name: string
  load(images: readonly string[], docker: Docker): Promise<void>
}

/** Returns how the cluster of a context takes images; undefined if it pulls them. */
export function loaderFor(context: string): Loader | undefined {
  const [, kind] = /^kind-(.+)$/.exec(context) ?? []
  if (kind !== undefined) return command('kind', ['load', 'docker-image', '--name', kind])
  const [, k3d] = /^k3d-(.+)$/.exec(context) ?? []
  if (k3d !== undefined) return command('k3d', ['image', 'import', '--cluster', k3d])
  if (context === 'minikube') return command('minikube', ['image', 'load'])
  // k3s runs on this computer and calls its context "default".
  return context === 'default' && findProgram('k3s') !== undefined ? K3S : undefined
}

/** Builds the images of the services, also with the tag that is rolled out, and loads them. */
export async function loadImages(
  loader: Loader,
  images: readonly string[],
  next: string | undefined,
): Promise<readonly string[]> {
  const tagged = next === undefined ? [] : images.map(image => withTag(image, next))
  const own = [...images, ...tagged].flatMap(image => {
    const service = serviceOf(image)
    return service === undefined ? [] : [{ image, service }]
  })
  const docker = await buildClient({})
  for (const { image, service } of own) {
    await docker(['build', '--target', service, '--tag', image, ROOT], { limitMs: BUILD_LIMIT_MS })
  }
  await loader.load(
    own.map(({ image }) => image),
    docker,
  )
  return own.map(({ image }) => image)
}

/** Returns the image of another tag. */
export function withTag(image: string, tag: string): string {
  return `${image.replace(/:[^/:]*$/, '')}:${tag}`
}

/** Returns the service whose image this is, such as `tidemark-gateway:0.2.0`. */
export function serviceOf(image: string): string | undefined {
  return /^tidemark-(gateway|analyzer|mqtt)(?::[\w.-]+)?$/.exec(image)?.[1]
}

function command(program: string, args: readonly string[]): Loader {
  return {
    name: program,
    async load(images) {
      await run(program, [...args, ...images], { timeout: LOAD_LIMIT_MS })
    },
  }
}

const K3S: Loader = {
  name: 'k3s',
  async load(images, docker) {
    await using folder = await temporaryFolder('images')
    const file = join(folder.path, 'images.tar')
    await docker(['save', '--output', file, ...images], { limitMs: LOAD_LIMIT_MS })
    await run('k3s', ['ctr', 'images', 'import', file], { timeout: LOAD_LIMIT_MS })
  },
}
