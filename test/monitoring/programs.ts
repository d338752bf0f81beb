import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '@tidemark/testkit/redis-process'
import { Child } from '@tidemark/tools/stack/child'
import { ROOT } from './rules.ts'

/** The programs, by their names in Debian and upstream, with the package that contains them. */
const PROGRAMS = {
  prometheus: { commands: ['prometheus'], package: 'prometheus' },
  promtool: { commands: ['promtool'], package: 'prometheus' },
  alertmanager: { commands: ['prometheus-alertmanager', 'alertmanager'], package: 'prometheus-alertmanager' },
  amtool: { commands: ['amtool'], package: 'prometheus-alertmanager' },
  victoriaMetrics: { commands: ['victoria-metrics', 'victoria-metrics-prod'], package: 'victoria-metrics' },
  redisExporter: { commands: ['prometheus-redis-exporter', 'redis_exporter'], package: 'prometheus-redis-exporter' },
} as const

export type ProgramName = keyof typeof PROGRAMS

const READY_WITHIN_MS = 60_000

/**
 * Decides whether tests that need these programs run. Under CI=true they always run, and fail if
 * one is missing. Elsewhere they are skipped with a message.
 */
export function programsAvailable(...names: readonly ProgramName[]): boolean {
  const missing = names.filter(name => find(name) === undefined).map(name => PROGRAMS[name].package)
  if (missing.length === 0 || process.env.CI === 'true') return true
  const packages = [...new Set(missing)].join(' ')
  process.stderr.write(
    `SKIPPED: these tests need programs that are missing: install them with "apt-get install ${packages}"\n`,
  )
  return false
}

function find(name: ProgramName): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  return PROGRAMS[name].commands.flatMap(command => folders.map(folder => join(folder, command))).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function program(name: ProgramName): string {
  const file = find(name)
  if (file === undefined)
    throw new Error(`${name} is not on PATH: install it with "apt-get install ${PROGRAMS[name].package}"`)
  return file
}

/** Runs a program to its end. Returns its exit code and output. */
export function runToEnd(name: ProgramName, args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise(resolve => {
    execFile(program(name), args, { timeout: 600_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, output: `${stdout}${stderr}` })
    })
  })
}

/** A server on a free local port, which is stopped when it is disposed. */
export interface Server extends AsyncDisposable {
  /** Such as `127.0.0.1:9090`. */
  readonly address: string
  readonly child: Child
}

/** Starts Prometheus with this configuration and waits until it responds. */
export function startPrometheus(config: string, options: readonly string[] = []): Promise<Server> {
  return startConfigured('prometheus', config, folder => [
    `--storage.tsdb.path=${join(folder, 'data')}`,
    '--log.level=warn',
    ...options,
  ])
}

/** Starts Alertmanager with this configuration, on a free port by default. */
export function startAlertmanager(config: string, { port }: { readonly port?: number } = {}): Promise<Server> {
  const args = (folder: string): readonly string[] => [
    `--storage.path=${join(folder, 'data')}`,
    '--cluster.listen-address=',
    '--log.level=warn',
  ]
  return startConfigured('alertmanager', config, args, port)
}

async function startConfigured(
  name: 'prometheus' | 'alertmanager',
  config: string,
  args: (folder: string) => readonly string[],
  port?: number,
): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), `tidemark-${name}-`))
  const file = join(folder, 'config.yml')
  await writeFile(file, config)
  return start(name, port => [`--config.file=${file}`, `--web.listen-address=127.0.0.1:${port}`, ...args(folder)], {
    folder,
    readyPath: '/-/ready',
    ...(port === undefined ? {} : { port }),
  })
}

/** Starts VictoriaMetrics with a temporary folder. */
export async function startVictoriaMetrics(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-victoriaMetrics-'))
  return start('victoriaMetrics', port => [`-httpListenAddr=127.0.0.1:${port}`, `-storageDataPath=${folder}`], {
    folder,
    readyPath: '/health',
  })
}

/** Starts redis_exporter with the arguments of compose.yaml. */
export function startRedisExporter(redisUrl: string): Promise<Server> {
  return start(
    'redisExporter',
    port => [`--redis.addr=${redisUrl}`, '--check-streams=tm:*:samples', `--web.listen-address=127.0.0.1:${port}`],
    { readyPath: '/metrics' },
  )
}

/** Starts a canary of the gateway at `url`. */
export async function startCanary(url: string): Promise<Server> {
  const address = `127.0.0.1:${await freePort()}`
  const [METRICS_HOST, METRICS_PORT] = address.split(':')
  const child = new Child({
    name: 'the canary',
    file: process.execPath,
    args: [join(ROOT, 'packages/gateway/src/canary/main.ts')],
    env: { PATH: process.env.PATH, CANARY_URL: url, CANARY_INTERVAL_MS: '1000', METRICS_HOST, METRICS_PORT },
  })
  await child.ready(line => line.includes('"listening"'), READY_WITHIN_MS)
  return { address, child, [Symbol.asyncDispose]: () => child.stop() }
}

async function start(
  name: ProgramName,
  args: (port: number) => readonly string[],
  options: { readonly folder?: string; readonly readyPath: string; readonly port?: number },
): Promise<Server> {
  const { folder, readyPath, port = await freePort() } = options
  const address = `127.0.0.1:${port}`
  const child = new Child({
    name,
    file: program(name),
    args: args(port),
    env: { PATH: process.env.PATH },
    ...(folder === undefined ? {} : { folder }),
  })
  const deadline = performance.now() + READY_WITHIN_MS
  for (;;) {
    if (await responds(`http://${address}${readyPath}`)) break
    const ended = await Promise.race([child.exited.then(() => true), pause(50).then(() => false)])
    if (ended || performance.now() > deadline) {
      const output = child.lines.join('\n')
      child.kill()
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
      throw new Error(`${name} does not respond:\n${output}`)
    }
  }
  return { address, child, [Symbol.asyncDispose]: () => child.stop() }
}

async function responds(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    await response.text()
    return response.ok
  } catch {
    return false
  }
}
