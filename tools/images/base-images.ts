import { copyFile, cp, readFile, realpath, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Docker, importFolder, importPrograms, run, succeeds } from '../lib/docker.ts'
import { findProgram, installPackages } from '../lib/packages.ts'
import { ROOT, temporaryFolder } from '../lib/project.ts'

const PULL_LIMIT_MS = 300_000
const DEBOOTSTRAP_LIMIT_MS = 400_000

const BUILD_IMAGE_MADE = 'tidemark-build-base:local'
const NODE_IMAGE_MADE = 'tidemark-node-base:local'

const SUITE = 'bookworm'

export interface BaseImages {
  readonly build: string
  readonly node: string
  /** Whether they are substitutes made here, because nothing can be pulled. */
  readonly isMade: boolean
}

/** Returns the base images of BUILD_IMAGE and NODE_IMAGE, or those of the Dockerfile. */
export async function wantedBaseImages(): Promise<BaseImages> {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const defaultOf = (name: string): string => new RegExp(`^ARG ${name}=(.+)$`, 'm').exec(dockerfile)?.[1] ?? ''
  const build = process.env.BUILD_IMAGE ?? defaultOf('BUILD_IMAGE')
  const node = process.env.NODE_IMAGE ?? defaultOf('NODE_IMAGE')
  return { build, node, isMade: false }
}

/** Returns the wanted base images if they can be pulled, otherwise substitutes. */
export async function findBaseImages(docker: Docker, signal: AbortSignal): Promise<BaseImages> {
  const wanted = await wantedBaseImages()
  const { build, node } = wanted
  if ((await isAvailable(docker, build, signal)) && (await isAvailable(docker, node, signal))) return wanted
  if (process.getuid?.() !== 0) {
    throw new Error(`${build} and ${node} cannot be pulled, and only root can make substitutes`)
  }
  await makeBuildImage(docker, signal)
  // A substitute for node:24-alpine, without a shell: what runs in the images needs none.
  await importPrograms(docker, NODE_IMAGE_MADE, new Map([[process.execPath, '/usr/local/bin/node']]))
  return { build: BUILD_IMAGE_MADE, node: NODE_IMAGE_MADE, isMade: true }
}

async function isAvailable(docker: Docker, image: string, signal: AbortSignal): Promise<boolean> {
  if (await succeeds(docker, ['image', 'inspect', image])) return true
  return succeeds(docker, ['pull', '--quiet', image], { limitMs: PULL_LIMIT_MS, signal })
}

/** Substitutes node:24-bookworm-slim: a minimal Debian with this Node and this computer's npm. */
async function makeBuildImage(docker: Docker, signal: AbortSignal): Promise<void> {
  if (findProgram('debootstrap') === undefined) await installPackages(['debootstrap'])
  const npm = dirname(dirname(await realpath(findProgram('npm') ?? '')))
  await using folder = await temporaryFolder('docker')
  // In its own namespaces: what it mounts and starts ends with it, also when it is interrupted.
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child']
  const command = ['debootstrap', '--variant=minbase', '--include=ca-certificates', SUITE, folder.path]
  await run('unshare', [...namespaces, ...command], { timeout: DEBOOTSTRAP_LIMIT_MS, signal, killSignal: 'SIGKILL' })
  await copyFile(process.execPath, join(folder.path, 'usr/local/bin/node'))
  await cp(npm, join(folder.path, 'usr/local/lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(folder.path, 'usr/local/bin/npm'))
  await importFolder(docker, BUILD_IMAGE_MADE, folder.path)
}
