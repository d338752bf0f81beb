import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const IMAGE_PULLED = 'redis:7.0-alpine'
const IMAGE_MADE = 'tidemark-test-redis:local'

const ASK_LIMIT_MS = 10_000
const PULL_LIMIT_MS = 60_000
const INSTALL_LIMIT_MS = 300_000
const START_LIMIT_MS = 60_000

/**
 * Runs dockerd with its output in a folder of its own until its stdin, a pipe, closes: because the tests are done, or
 * because their process was killed. Then it stops the daemon and takes away what that leaves: mounts, its bridge, the folder.
 */
const GUARD = `
folder=$1 bridge=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- >"$folder/log" 2>&1 & daemon=$!
read -r _ <&3
kill -TERM $daemon
{ sleep 20; kill -KILL $daemon; } & late=$!
wait $daemon
kill $late
grep -o " $folder/[^ ]*" /proc/self/mounts | sort -r | while read -r mount; do umount "$mount"; done
ip link delete "$bridge"
rm -rf "$folder"`

/** A Docker engine for as long as it is not disposed, and the settings by which the tests' Redis is a container of it. */
export interface DockerEngine extends AsyncDisposable {
  readonly env: Record<string, string>
}

/**
 * Finds a Docker engine that answers, or starts one of our own: as root on Debian or Ubuntu, under CI=true or
 * TIDEMARK_TEST_DOCKER=1. Ours keeps everything in a temporary folder and touches neither the firewall nor another engine.
 */
export async function withDockerEngine(
  say: (line: string) => void,
): Promise<DockerEngine | { readonly unavailable: string }> {
  const answering = await engineVersion({})
  const obstacle = answering === undefined ? await obstacleToOwnEngine() : undefined
  if (obstacle !== undefined) return { unavailable: `no Docker engine answers, and ${obstacle}` }
  try {
    if (answering === undefined) return await withImage(await startOwnEngine(say), say)
    say(`using the Docker engine ${answering} that answers`)
    return await withImage({ env: {}, async [Symbol.asyncDispose]() {} }, say)
  } catch (error) {
    return { unavailable: `a Docker engine cannot be used: ${messageOf(error)}` }
  }
}

/** Version of the engine that answers under these settings; undefined when none does. */
async function engineVersion(env: Readonly<Record<string, string>>): Promise<string | undefined> {
  return docker(['version', '--format', '{{.Server.Version}}'], env, ASK_LIMIT_MS).catch(() => undefined)
}

async function docker(args: readonly string[], env: Readonly<Record<string, string>>, limitMs: number) {
  const { stdout } = await run('docker', args, { env: { ...process.env, ...env }, timeout: limitMs })
  return stdout.trim()
}

async function obstacleToOwnEngine(): Promise<string | undefined> {
  if (process.env.CI !== 'true' && process.env.TIDEMARK_TEST_DOCKER !== '1') {
    return 'one of our own is started only under CI=true or TIDEMARK_TEST_DOCKER=1'
  }
  if (process.getuid?.() !== 0) return 'only root could start one'
  const isDebian = await access('/etc/debian_version').then(
    () => true,
    () => false,
  )
  return isDebian ? undefined : 'one of our own is started on Debian and Ubuntu only'
}

async function install(say: (line: string) => void): Promise<void> {
  const found = await run('sh', ['-c', 'command -v dockerd && command -v docker && command -v ip']).catch(
    () => undefined,
  )
  if (found !== undefined) return
  say('installing docker.io')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const options = { env, timeout: INSTALL_LIMIT_MS }
  await run('apt-get', ['-q', 'update'], options)
  await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', 'docker.io', 'iproute2'], options)
}

async function startOwnEngine(say: (line: string) => void): Promise<DockerEngine> {
  await install(say)
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-docker-'))
  // A bridge of its own, and no rules in the firewall: docker-proxy alone carries what comes to a container's ports.
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
  const places = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const network = ['--bridge', bridge, '--iptables=false', '--ip-forward=false', '--ip-masq=false']
  const command = ['dockerd', '--host', host, '--pidfile', join(folder, 'pid'), ...places, ...network]
  const guard = spawn('sh', ['-c', GUARD, 'tidemark-guard', folder, bridge, ...command], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const engine = { env: { DOCKER_HOST: host }, [Symbol.asyncDispose]: () => end(guard) }
  const deadline = performance.now() + START_LIMIT_MS
  for (;;) {
    const version = await engineVersion(engine.env)
    if (version !== undefined) {
      say(`started the Docker engine ${version}`)
      return engine
    }
    if (performance.now() > deadline) {
      const log = await readFile(join(folder, 'log'), 'utf8').catch(() => '')
      await end(guard)
      throw new Error(`dockerd does not answer:\n${log.split('\n').slice(-15).join('\n')}`)
    }
    await pause(100)
  }
}

async function end(guard: ChildProcess): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return
  const ended = once(guard, 'exit')
  guard.stdin?.end()
  await ended
}

/** Gives `engine` an image with Redis, pulled or made from this computer's redis-server, and names it in the settings. */
async function withImage(engine: DockerEngine, say: (line: string) => void): Promise<DockerEngine> {
  await using unused = new AsyncDisposableStack()
  unused.use(engine)
  const image = await findImage(engine.env, say)
  unused.move()
  return {
    ...engine,
    env: {
      ...engine.env,
      // The reaper's image cannot be pulled everywhere; our own engine takes its containers along when it ends.
      TESTCONTAINERS_RYUK_DISABLED: 'true',
      TIDEMARK_TEST_REDIS: 'docker',
      TIDEMARK_TEST_REDIS_IMAGE: image,
    },
  }
}

async function findImage(env: Readonly<Record<string, string>>, say: (line: string) => void): Promise<string> {
  const wanted = process.env.TIDEMARK_TEST_REDIS_IMAGE ?? IMAGE_PULLED
  const isThere = await docker(['image', 'inspect', wanted], env, ASK_LIMIT_MS).then(
    () => true,
    () => false,
  )
  if (isThere) return wanted
  try {
    await docker(['pull', '--quiet', wanted], env, PULL_LIMIT_MS)
    return wanted
  } catch {
    say(`${wanted} cannot be pulled: making ${IMAGE_MADE} from the redis-server of this computer`)
    await makeImage(env)
    return IMAGE_MADE
  }
}

/** An image of redis-server, redis-cli and the shared libraries that they load, and nothing else. */
async function makeImage(env: Readonly<Record<string, string>>): Promise<void> {
  const { stdout: found } = await run('sh', ['-c', 'command -v redis-server && command -v redis-cli'])
  const programs = found.trim().split('\n')
  const { stdout: loaded } = await run('ldd', programs)
  const libraries = [...loaded.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = '']) => path)
  const files = [...new Set([...programs, ...libraries])].map(path => path.slice(1))
  const changes = [
    'CMD ["redis-server"]',
    'WORKDIR /data',
    'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ].flatMap(change => ['--change', change])
  // tar follows the links, so each file stands under the path by which it is looked for.
  const tar = spawn('tar', ['--dereference', '--directory', '/', '--create', ...files], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const load = spawn('docker', ['import', ...changes, '-', IMAGE_MADE], {
    stdio: [tar.stdout, 'ignore', 'ignore'],
    env: { ...process.env, ...env },
  })
  const [[tarCode], [loadCode]] = await Promise.all([once(tar, 'exit'), once(load, 'exit')])
  if (tarCode !== 0 || loadCode !== 0) throw new Error(`${IMAGE_MADE} could not be made (${tarCode}, ${loadCode})`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
