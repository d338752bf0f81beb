import { spawnSync } from 'node:child_process'
import { userInfo } from 'node:os'
import { findServer } from '../start/redis.ts'

/** apt-get waits so long for another apt-get. */
const APT_LOCK_S = 120
const INSTALL_LIMIT_MS = 300_000

/** What installs Redis where this script may not, by the package manager that is there. */
const REMEDIES: readonly (readonly [manager: string, command: string])[] = [
  ['apt-get', 'sudo apt-get install redis-server'],
  ['dnf', 'sudo dnf install valkey'],
  ['pacman', 'sudo pacman -S valkey'],
  ['zypper', 'sudo zypper install redis'],
  ['apk', 'apk add redis'],
  ['brew', 'brew install redis'],
]

export type RedisSetup =
  | { readonly kind: 'there'; readonly program: string }
  | { readonly kind: 'installed'; readonly program: string }
  /** `remedy` is the one command that helps. */
  | { readonly kind: 'missing'; readonly remedy: string; readonly output: string }

/** Makes sure that there is a Redis server on PATH, through the system's package manager when that needs no password. */
export function ensureRedis(say: (text: string) => void): RedisSetup {
  const program = findServer()
  if (program !== undefined) return { kind: 'there', program }
  const install = installCommands()
  let output = ''
  if (install !== undefined) say('there is no redis-server: installing it')
  for (const [file = '', ...args] of install ?? []) {
    const result = spawnSync(file, args, {
      encoding: 'utf8',
      timeout: INSTALL_LIMIT_MS,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    output += `$ ${[file, ...args].join(' ')}\n${result.stdout ?? ''}${result.stderr ?? ''}`
  }
  const installed = findServer()
  if (installed !== undefined) return { kind: 'installed', program: installed }
  return { kind: 'missing', remedy: remedy(), output }
}

/** The commands to run one after the other; a failure shows in that there is no server afterwards. */
function installCommands(): readonly (readonly string[])[] | undefined {
  if (process.platform === 'darwin' && isRunnable('brew')) return [['brew', 'install', '--quiet', 'redis']]
  if (process.platform !== 'linux' || !isRunnable('apt-get')) return undefined
  const prefix = userInfo().uid === 0 ? [] : ['sudo', '-n']
  if (prefix.length > 0 && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) return undefined
  // In runlevel 1 the package's own script does not start the server: the tests start theirs.
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const aptGet = [...prefix, ...environment, 'apt-get', '-q', '-o', `DPkg::Lock::Timeout=${APT_LOCK_S}`]
  return [
    [...aptGet, 'update'],
    [...aptGet, 'install', '-y', '--no-install-recommends', 'redis-server'],
    // systemd knows no runlevel: there it was started, and would be again at each boot.
    ...(isRunnable('systemctl') ? [[...prefix, 'systemctl', 'disable', '--now', 'redis-server']] : []),
    [...prefix, 'sh', '-c', 'if [ -x /etc/init.d/redis-server ]; then /etc/init.d/redis-server stop; fi'],
  ]
}

function remedy(): string {
  const found = REMEDIES.find(([manager]) => isRunnable(manager))
  return found?.[1] ?? 'install redis-server or valkey-server and put it on PATH'
}

function isRunnable(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0
}
