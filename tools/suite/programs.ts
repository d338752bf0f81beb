import { fetchKubectl, findKubectl } from '../lib/kubectl.ts'
import { installPackages, isOnPath, usableManager } from '../lib/packages.ts'
import { findPython } from '../load/python.ts'

/** A program that tests run besides Node. */
interface TestProgram {
  readonly name: string
  isFound(): boolean | Promise<boolean>
  /** The package that contains it, by package manager. */
  readonly packages: Readonly<Partial<Record<PackageManager, string>>>
}

const INSTALL_COMMANDS = { 'apt-get': 'sudo apt-get install', brew: 'brew install' } as const

type PackageManager = keyof typeof INSTALL_COMMANDS

const PROGRAMS: readonly TestProgram[] = [
  {
    name: 'redis-server',
    isFound: () => isAnyOnPath('redis-server', 'valkey-server'),
    packages: { 'apt-get': 'redis-server', brew: 'redis' },
  },
  {
    // The package contains promtool, that of Alertmanager contains amtool.
    name: 'prometheus',
    isFound: () => isOnPath('prometheus'),
    packages: { 'apt-get': 'prometheus', brew: 'prometheus' },
  },
  {
    name: 'alertmanager',
    isFound: () => isAnyOnPath('prometheus-alertmanager', 'alertmanager'),
    packages: { 'apt-get': 'prometheus-alertmanager', brew: 'alertmanager' },
  },
  {
    name: 'redis_exporter',
    isFound: () => isAnyOnPath('prometheus-redis-exporter', 'redis_exporter'),
    packages: { 'apt-get': 'prometheus-redis-exporter' },
  },
  {
    name: 'locust',
    isFound: () => findPython() !== undefined,
    packages: { 'apt-get': 'python3-locust', brew: 'locust' },
  },
  {
    name: 'kubectl 1.27 or newer',
    isFound: () => findKubectl() !== undefined,
    packages: { brew: 'kubectl' },
  },
]

/** Installs missing programs if allowed. Tests without theirs are skipped, or fail with CI=true. */
export async function ensurePrograms(say: (text: string) => void): Promise<void> {
  let absent = await missing(PROGRAMS)
  if (absent.length === 0) return
  let output = ''
  const manager = await usableManager()
  if (manager !== undefined) {
    say(`installing ${namesOf(absent)}`)
    output = await installPackages(absent.flatMap(({ packages }) => packages[manager] ?? []))
    if (findKubectl() === undefined) {
      await fetchKubectl().catch((error: unknown) => {
        output += String(error)
      })
    }
    absent = await missing(absent)
    if (absent.length === 0) return
  }
  if (output !== '') say(output)
  const outcome = process.env.CI === 'true' ? 'FAIL' : 'are SKIPPED'
  say(`MISSING: ${namesOf(absent)}. The tests that need them ${outcome}. To run them: ${await remedyFor(absent)}`)
}

async function missing(programs: readonly TestProgram[]): Promise<TestProgram[]> {
  const found = await Promise.all(programs.map(program => program.isFound()))
  return programs.filter((_, index) => found[index] === false)
}

function namesOf(programs: readonly TestProgram[]): string {
  return programs.map(({ name }) => name).join(', ')
}

/** Returns the command that installs the programs, and those that no package contains. */
async function remedyFor(programs: readonly TestProgram[]): Promise<string> {
  const managers = Object.keys(INSTALL_COMMANDS) as PackageManager[]
  const isThere = await Promise.all(managers.map(isOnPath))
  const manager = managers.find((_, index) => isThere[index])
  const packages = manager === undefined ? [] : programs.flatMap(program => program.packages[manager] ?? [])
  const others = programs.filter(program => manager === undefined || program.packages[manager] === undefined)
  return [
    ...(manager === undefined || packages.length === 0 ? [] : [`${INSTALL_COMMANDS[manager]} ${packages.join(' ')}`]),
    ...(others.length === 0 ? [] : [`put ${namesOf(others)} on PATH`]),
  ].join('; ')
}

async function isAnyOnPath(...programs: readonly string[]): Promise<boolean> {
  const found = await Promise.all(programs.map(isOnPath))
  return found.includes(true)
}
