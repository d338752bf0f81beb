import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Docker, dockerClient, importPrograms, run, succeeds } from '../lib/docker.ts'
import { findProgram, installPackages, usableInstaller } from '../lib/packages.ts'
import { Child } from './child.ts'

const IMAGE_PULLED = 'redis:7.0-alpine'
const IMAGE_MADE = 'tidemark-test-redis:local'

const VERSION_LIMIT_MS = 10_000
const PULL_LIMIT_MS = 60_000
const START_LIMIT_MS = 60_000

/** Runs dockerd until SIGTERM, then removes what it leaves behind: its mounts and its bridge. */
const DAEMON = `
folder=$1 bridge=$2; shift 2
trap 'kill -TERM $daemon' TERM
"$@" & daemon=$!
wait $daemon; wait $daemon
grep -o " $folder/[^ ]*" /proc/self/mounts | sort -r | while read -r mount; do umount "$mount"; done
ip link delete "$bridge"`

/** A Docker engine, and the settings with which the tests' Redis runs in a container of it. */
export interface DockerEngine extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>
}

/**
 * Returns the Docker engine that responds, else a temporary one if this is root on Debian. It uses
 * only a temporary folder and changes neither the firewall nor another engine.
 */
export async function findDockerEngine(
  say: (line: string) => void,
): Promise<DockerEngine | { readonly unavailable: string }> {
  const version = await engineVersion(dockerClient({}))
  const mayStart = process.getuid?.() === 0 && usableInstaller()?.manager === 'apt-get'
  if (version === undefined && !mayStart) {
    return { unavailable: 'no Docker engine responds, and only root on Debian gets a temporary one' }
  }
  try {
    await using starting = new AsyncDisposableStack()
    const env = version === undefined ? await startEngine(starting) : {}
    say(version === undefined ? 'started a temporary Docker engine' : `using the Docker engine ${version}`)
    const image = await findImage(dockerClient(env), say)
    // The reaper's image cannot be pulled everywhere; a temporary engine removes containers.
    const reaper = { TESTCONTAINERS_RYUK_DISABLED: 'true' }
    const redis = { TIDEMARK_TEST_REDIS: 'docker', TIDEMARK_TEST_REDIS_IMAGE: image }
    const resources = starting.move()
    return { env: { ...env, ...reaper, ...redis }, [Symbol.asyncDispose]: () => resources.disposeAsync() }
  } catch (error) {
    return { unavailable: `the Docker engine cannot be used: ${error instanceof Error ? error.message : error}` }
  }
}

function engineVersion(docker: Docker): Promise<string | undefined> {
  return docker(['version', '--format', '{{.Server.Version}}'], { limitMs: VERSION_LIMIT_MS }).catch(() => undefined)
}

/** Starts dockerd, installed first if necessary; returns the settings that lead to it. */
async function startEngine(resources: AsyncDisposableStack): Promise<Record<string, string>> {
  const isMissing = ['dockerd', 'docker', 'ip'].some(name => findProgram(name) === undefined)
  if (isMissing) await installPackages(['docker.io', 'iproute2'])
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-docker-'))
  // Its own bridge and no firewall rules: only docker-proxy forwards connections to containers.
  const bridge = `tidemark${process.pid}`
  try {
    await run('ip', ['link', 'add', 'name', bridge, 'type', 'bridge'])
    await run('ip', ['address', 'add', `10.213.${process.pid % 256}.1/24`, 'dev', bridge])
    await run('ip', ['link', 'set', bridge, 'up'])
  } catch (error) {
    await run('ip', ['link', 'delete', bridge]).catch(() => undefined)
    await rm(folder, { recursive: true, force: true })
    throw error
  }
  const host = `unix://${join(folder, 'docker.sock')}`
  const folders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const network = ['--bridge', bridge, '--iptables=false', '--ip-forward=false', '--ip-masq=false']
  // Shorter than the time that Child grants between SIGTERM and SIGKILL.
  const stopping = ['--shutdown-timeout', '5', '--pidfile', join(folder, 'pid')]
  const command = ['dockerd', '--host', host, ...folders, ...network, ...stopping]
  const args = ['-c', DAEMON, 'tidemark-dockerd', folder, bridge, ...command]
  const daemon = resources.use(new Child({ name: 'dockerd', file: 'sh', args, env: process.env, folder }))
  const env = { DOCKER_HOST: host }
  const deadline = performance.now() + START_LIMIT_MS
  while ((await engineVersion(dockerClient(env))) === undefined) {
    if (performance.now() > deadline) throw new Error(`dockerd does not respond:\n${daemon.lines.join('\n')}`)
    await pause(100)
  }
  return env
}

/** Returns an image with Redis: present, pulled, or made of this computer's redis-server. */
async function findImage(docker: Docker, say: (line: string) => void): Promise<string> {
  const wanted = process.env.TIDEMARK_TEST_REDIS_IMAGE ?? IMAGE_PULLED
  if (await succeeds(docker, ['image', 'inspect', wanted])) return wanted
  if (await succeeds(docker, ['pull', '--quiet', wanted], { limitMs: PULL_LIMIT_MS })) return wanted
  say(`${wanted} cannot be pulled: making ${IMAGE_MADE} from the redis-server of this computer`)
  const paths = ['redis-server', 'redis-cli'].map(name => findProgram(name) ?? '')
  await importPrograms(docker, IMAGE_MADE, new Map(paths.map(path => [path, path])))
  return IMAGE_MADE
}
