import { fetchKubectl, findKubectl } from '../lib/kubectl.ts'
import { fetchNodeRed, findNodeRed } from '../lib/node-red.ts'
import { findProgram, installPackages, type PackageManager, usableInstaller } from '../lib/packages.ts'
import { findPython } from '../load/python.ts'
import { findBrowser } from '../stack/browser.ts'
import { findCollectd } from '../stack/collectd.ts'
import { findServer } from '../stack/redis.ts'

/** A program that tests run besides Node, and the packages that contain it, by package manager. */
interface TestProgram extends Readonly<Partial<Record<PackageManager, string | readonly string[]>>> {
  readonly name: string
  readonly find: () => string | undefined
  /** Downloads it for the tests alone; for what no package contains. */
  readonly fetch?: () => Promise<void>
}

const INSTALL_COMMANDS = { 'apt-get': 'sudo apt-get install', brew: 'brew install' } as const

const EXPORTERS = ['prometheus-redis-exporter', 'redis_exporter'] as const
const VICTORIA_METRICS = ['victoria-metrics', 'victoria-metrics-prod'] as const
const ALERTMANAGERS = ['prometheus-alertmanager', 'alertmanager'] as const

/** Debian installs it where only root's PATH leads. */
const findMosquitto = (): string | undefined => findProgram('mosquitto', '/usr/sbin/mosquitto')

/** The package of Prometheus contains promtool, that of Alertmanager amtool. */
const PROGRAMS: readonly TestProgram[] = [
  { name: 'redis-server', find: findServer, 'apt-get': 'redis-server', brew: 'redis' },
  { name: 'prometheus', find: () => findProgram('prometheus'), 'apt-get': 'prometheus', brew: 'prometheus' },
  {
    name: 'alertmanager',
    find: () => findProgram(...ALERTMANAGERS),
    'apt-get': ALERTMANAGERS[0],
    brew: 'alertmanager',
  },
  {
    name: 'victoria-metrics',
    find: () => findProgram(...VICTORIA_METRICS),
    'apt-get': VICTORIA_METRICS[0],
    brew: 'victoriametrics',
  },
  { name: 'redis_exporter', find: () => findProgram(...EXPORTERS), 'apt-get': EXPORTERS[0] },
  { name: 'mosquitto', find: findMosquitto, 'apt-get': 'mosquitto', brew: 'mosquitto' },
  { name: 'collectd', find: findCollectd, 'apt-get': ['collectd-core', 'libyajl2'] },
  { name: 'locust', find: findPython, 'apt-get': 'python3-locust', brew: 'locust' },
  { name: 'chromium', find: findBrowser, 'apt-get': 'chromium' },
  { name: 'kubectl 1.27 or newer', find: findKubectl, fetch: fetchKubectl, brew: 'kubectl' },
  { name: 'Node-RED', find: findNodeRed, fetch: fetchNodeRed },
]

/** Installs missing programs if allowed. Tests without theirs are skipped, or fail with CI=true. */
export async function ensurePrograms(say: (text: string) => void): Promise<void> {
  let absent = PROGRAMS.filter(isMissing)
  if (absent.length === 0) return
  let output = ''
  const manager = usableInstaller()?.manager
  if (manager !== undefined) {
    say(`installing ${namesOf(absent)}`)
    output = await installPackages(absent.flatMap(program => program[manager] ?? []))
    for (const { fetch } of absent.filter(isMissing)) {
      await fetch?.().catch((error: unknown) => {
        output += String(error)
      })
    }
    absent = absent.filter(isMissing)
    if (absent.length === 0) return
  }
  if (output !== '') say(output)
  const outcome = process.env.CI === 'true' ? 'FAIL' : 'are SKIPPED'
  say(`MISSING: ${namesOf(absent)}. The tests that need them ${outcome}. To run them: ${remedyFor(absent)}`)
}

function isMissing({ find }: TestProgram): boolean {
  return find() === undefined
}

function namesOf(programs: readonly TestProgram[]): string {
  return programs.map(({ name }) => name).join(', ')
}

/** Returns the command that installs the programs, and those that no package contains. */
function remedyFor(programs: readonly TestProgram[]): string {
  const managers = Object.keys(INSTALL_COMMANDS) as PackageManager[]
  const manager = managers.find(name => findProgram(name) !== undefined)
  const packages = manager === undefined ? [] : programs.flatMap(program => program[manager] ?? [])
  const others = programs.filter(program => manager === undefined || program[manager] === undefined)
  return [
    ...(manager === undefined || packages.length === 0 ? [] : [`${INSTALL_COMMANDS[manager]} ${packages.join(' ')}`]),
    ...(others.length === 0 ? [] : [`put ${namesOf(others)} on PATH`]),
  ].join('; ')
}
