import { spawnSync } from 'node:child_process'
import { userInfo } from 'node:os'
import { findPython } from '../load/python.ts'

/** apt-get waits so long for another apt-get. */
const APT_LOCK_S = 120
const INSTALL_LIMIT_MS = 300_000

/** A program that tests run besides Node. */
interface TestProgram {
  /** Any one of these does. */
  readonly commands: readonly string[]
  /** Where a command on PATH says nothing: a Python has it or not. */
  readonly isThere?: () => boolean
  /** The package that brings it, by the package manager that is there; where one is missing, nothing is proposed. */
  readonly packages: Readonly<Partial<Record<PackageManager, string>>>
}

type PackageManager = 'apt-get' | 'dnf' | 'pacman' | 'zypper' | 'apk' | 'brew'

const PROGRAMS: readonly TestProgram[] = [
  {
    commands: ['redis-server', 'valkey-server'],
    packages: {
      'apt-get': 'redis-server',
      dnf: 'valkey',
      pacman: 'valkey',
      zypper: 'redis',
      apk: 'redis',
      brew: 'redis',
    },
  },
  // Prometheus' package has promtool in it, Alertmanager's amtool.
  { commands: ['prometheus'], packages: { 'apt-get': 'prometheus', pacman: 'prometheus', brew: 'prometheus' } },
  {
    commands: ['prometheus-alertmanager', 'alertmanager'],
    packages: { 'apt-get': 'prometheus-alertmanager', pacman: 'alertmanager', brew: 'alertmanager' },
  },
  {
    commands: ['prometheus-redis-exporter', 'redis_exporter'],
    packages: { 'apt-get': 'prometheus-redis-exporter' },
  },
  {
    commands: ['locust'],
    isThere: () => findPython() !== undefined,
    packages: { 'apt-get': 'python3-locust', brew: 'locust' },
  },
]

const MANAGERS: Readonly<Record<PackageManager, string>> = {
  'apt-get': 'sudo apt-get install',
  dnf: 'sudo dnf install',
  pacman: 'sudo pacman -S',
  zypper: 'sudo zypper install',
  apk: 'apk add',
  brew: 'brew install',
}

export interface ProgramSetup {
  readonly installed: readonly string[]
  readonly missing: readonly string[]
  /** The one command that brings what is missing, or advice. */
  readonly remedy: string
  /** What the package manager said, where something is missing. */
  readonly output: string
}

/** Makes sure that every program is on PATH, through the system's package manager when that needs no password. */
export function ensurePrograms(say: (text: string) => void): ProgramSetup {
  const absent = PROGRAMS.filter(program => !isThere(program))
  const names = packagesOf(absent)
  let output = ''
  const install = names.length === 0 ? [] : installCommands(names)
  if (install.length > 0) say(`there is no ${absent.map(nameOf).join(', no ')}: installing`)
  for (const [file = '', ...args] of install) {
    const result = spawnSync(file, args, {
      encoding: 'utf8',
      timeout: INSTALL_LIMIT_MS,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    output += `$ ${[file, ...args].join(' ')}\n${result.stdout ?? ''}${result.stderr ?? ''}`
  }
  const missing = absent.filter(program => !isThere(program))
  const installed = absent.filter(program => !missing.includes(program))
  return { installed: installed.map(nameOf), missing: missing.map(nameOf), remedy: remedyFor(missing), output }
}

function nameOf({ commands: [first = ''] }: TestProgram): string {
  return first
}

function isThere({ commands, isThere: find = () => commands.some(isRunnable) }: TestProgram): boolean {
  return find()
}

/** The package manager of this computer. */
function manager(): PackageManager | undefined {
  return (Object.keys(MANAGERS) as PackageManager[]).find(isRunnable)
}

function packagesOf(programs: readonly TestProgram[]): string[] {
  const by = manager()
  return by === undefined ? [] : programs.flatMap(({ packages }) => packages[by] ?? [])
}

/** The commands to run one after the other; a failure shows in that a program is still missing afterwards. */
function installCommands(packages: readonly string[]): readonly (readonly string[])[] {
  if (process.platform === 'darwin' && isRunnable('brew')) return [['brew', 'install', '--quiet', ...packages]]
  if (process.platform !== 'linux' || !isRunnable('apt-get')) return []
  const prefix = userInfo().uid === 0 ? [] : ['sudo', '-n']
  if (prefix.length > 0 && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) return []
  // In runlevel 1 the packages' own scripts do not start their servers: the tests start theirs.
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const aptGet = [...prefix, ...environment, 'apt-get', '-q', '-o', `DPkg::Lock::Timeout=${APT_LOCK_S}`]
  return [
    [...aptGet, 'update'],
    // One by one: a package that this release does not have must not keep the others away.
    ...packages.map(name => [...aptGet, 'install', '-y', '--no-install-recommends', name]),
    // systemd knows no runlevel: there they were started, and would be again at each boot. Services bear their package's name.
    ...(isRunnable('systemctl') ? [[...prefix, 'systemctl', 'disable', '--now', ...packages]] : []),
    ...packages.map(name => [
      ...prefix,
      'sh',
      '-c',
      `if [ -x /etc/init.d/${name} ]; then /etc/init.d/${name} stop; fi`,
    ]),
  ]
}

function remedyFor(missing: readonly TestProgram[]): string {
  const by = manager()
  const names = packagesOf(missing)
  return by !== undefined && names.length === missing.length
    ? `${MANAGERS[by]} ${names.join(' ')}`
    : `install ${missing.map(({ commands }) => commands.join(' or ')).join(', ')} and put them on PATH`
}

function isRunnable(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0
}
