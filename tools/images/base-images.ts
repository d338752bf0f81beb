import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT } from '../lib/step.ts'
import { type Docker, succeeds } from './docker.ts'
import { parseDockerfile } from './dockerfile.ts'

const run = promisify(execFile)

const PULL_LIMIT_MS = 300_000
const DEBOOTSTRAP_LIMIT_MS = 400_000
const INSTALL_LIMIT_MS = 300_000

const BUILD_IMAGE_MADE = 'tidemark-build-base:local'
const NODE_IMAGE_MADE = 'tidemark-node-base:local'

const SUITE = 'bookworm'
const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** What the Dockerfile is to build on. */
export interface BaseImages {
  readonly build: string
  readonly node: string
  /** Made on the spot, because nothing can be pulled. */
  readonly isMade: boolean
}

/** The images that the Dockerfile names, or BUILD_IMAGE and NODE_IMAGE; where they can't be pulled, stand-ins for them. */
export async function findBaseImages(docker: Docker, signal: AbortSignal): Promise<BaseImages> {
  const { args } = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
  const build = process.env.BUILD_IMAGE ?? args.get('BUILD_IMAGE') ?? ''
  const node = process.env.NODE_IMAGE ?? args.get('NODE_IMAGE') ?? ''
  if ((await isAvailable(docker, build, signal)) && (await isAvailable(docker, node, signal))) {
    return { build, node, isMade: false }
  }
  if (process.getuid?.() !== 0) throw new Error(`${build} and ${node} can't be pulled, and only root could make others`)
  await makeBuildImage(docker, signal)
  await makeNodeImage(docker)
  return { build: BUILD_IMAGE_MADE, node: NODE_IMAGE_MADE, isMade: true }
}

async function isAvailable(docker: Docker, image: string, signal: AbortSignal): Promise<boolean> {
  if (await succeeds(docker, ['image', 'inspect', image])) return true
  return succeeds(docker, ['pull', '--quiet', image], { limitMs: PULL_LIMIT_MS, signal })
}

/** In place of node:24-bookworm-slim: a minimal Debian with this Node and this computer's npm. */
async function makeBuildImage(docker: Docker, signal: AbortSignal): Promise<void> {
  await installDebootstrap(signal)
  const npm = dirname(dirname(await realpath((await run('sh', ['-c', 'command -v npm'])).stdout.trim())))
  await using folder = await temporaryFolder()
  // In namespaces of its own: what it mounts and starts is gone with it, also when it is interrupted.
  const apart = ['--mount', '--pid', '--fork', '--kill-child']
  const command = ['debootstrap', '--variant=minbase', '--include=ca-certificates', SUITE, folder.path]
  await run('unshare', [...apart, ...command], { timeout: DEBOOTSTRAP_LIMIT_MS, signal, killSignal: 'SIGKILL' })
  await copyFile(process.execPath, join(folder.path, 'usr/local/bin/node'))
  await cp(npm, join(folder.path, 'usr/local/lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(folder.path, 'usr/local/bin/npm'))
  await importFolder(docker, folder.path, BUILD_IMAGE_MADE)
}

/** In place of node:24-alpine: node and the libraries that it loads. What runs on it needs no shell and no other file. */
async function makeNodeImage(docker: Docker): Promise<void> {
  await using folder = await temporaryFolder()
  const { stdout: loaded } = await run('ldd', [process.execPath])
  const libraries = [...loaded.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = '']) => path)
  const files = [[process.execPath, '/usr/local/bin/node'], ...libraries.map(path => [path, path])]
  for (const [from = '', to = ''] of files) {
    await mkdir(join(folder.path, dirname(to)), { recursive: true })
    await copyFile(from, join(folder.path, to))
  }
  await importFolder(docker, folder.path, NODE_IMAGE_MADE)
}

async function importFolder(docker: Docker, folder: string, name: string): Promise<void> {
  await using archive = await temporaryFolder()
  const file = join(archive.path, 'root.tar')
  await run('tar', ['--create', '--file', file, '--directory', folder, '.'])
  await docker(['import', '--change', PATH, file, name])
}

async function installDebootstrap(signal: AbortSignal): Promise<void> {
  const isThere = await run('sh', ['-c', 'command -v debootstrap']).then(
    () => true,
    () => false,
  )
  if (isThere) return
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: INSTALL_LIMIT_MS, signal }
  await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', 'debootstrap'], options)
}

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-image-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}
