import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { promisify } from 'node:util'

/** How long apt-get waits for another apt-get. */
const APT_LOCK_S = 120
const INSTALL_LIMIT_MS = 300_000

export type PackageManager = 'apt-get' | 'brew'

/** On machines with systemd these two commands call systemctl. */
const STOP_SERVICE = 'service "$0" stop; update-rc.d "$0" disable'

/** Returns the path of the first of these programs that is on PATH. */
export function findProgram(...names: readonly string[]): string | undefined {
  const script = 'for name; do command -v "$name" && exit; done'
  const path = spawnSync('sh', ['-c', script, 'sh', ...names], { encoding: 'utf8' }).stdout.trim()
  return path === '' ? undefined : path
}

/** Installs packages one by one; returns the output. A failure shows in a missing program. */
export async function installPackages(names: readonly string[]): Promise<string> {
  const installer = usableInstaller()
  if (installer === undefined) return ''
  const lines: string[] = []
  const run = async ([file = '', ...args]: readonly string[]): Promise<void> => {
    const options = { timeout: INSTALL_LIMIT_MS, env: { ...process.env, HOMEBREW_NO_AUTO_UPDATE: '1' } }
    const { stdout, stderr } = await promisify(execFile)(file, args, options).catch(error => error)
    lines.push(`$ ${[file, ...args].join(' ')}\n${stdout}${stderr}`)
  }
  if (installer.refresh !== undefined) await run(installer.refresh)
  for (const name of names) {
    // Debian starts an installed server, but the tests start their own. A service that existed
    // before stays. A service has the name of its package; docker.io is called docker.
    const script = `/etc/init.d/${name.replace('.io', '')}`
    const hadService = existsSync(script)
    await run([...installer.install, name])
    if (!hadService && existsSync(script)) await run([...installer.prefix, 'sh', '-c', STOP_SERVICE, basename(script)])
  }
  return lines.join('')
}

interface Installer {
  readonly manager: PackageManager
  readonly prefix: readonly string[]
  readonly refresh?: readonly string[]
  readonly install: readonly string[]
}

/**
 * Returns the package manager that may be used without asking: apt-get as root, which is typical of
 * a container, and apt-get or brew with CI=true. A workstation is never changed.
 */
export function usableInstaller(): Installer | undefined {
  const isCi = process.env.CI === 'true'
  const isRoot = process.getuid?.() === 0
  if (process.platform === 'darwin' && isCi && findProgram('brew') !== undefined) {
    return { manager: 'brew', prefix: [], install: ['brew', 'install', '--quiet'] }
  }
  if (findProgram('apt-get') === undefined) return undefined
  if (!isRoot && !(isCi && spawnSync('sudo', ['-n', 'true']).status === 0)) return undefined
  const prefix = isRoot ? [] : ['sudo', '-n']
  // In runlevel 1 the packages' scripts do not start their servers, unless systemd runs.
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const aptGet = [...prefix, ...environment, 'apt-get', '-q', '-o', `DPkg::Lock::Timeout=${APT_LOCK_S}`]
  const install = [...aptGet, 'install', '-y', '--no-install-recommends']
  return { manager: 'apt-get', prefix, refresh: [...aptGet, 'update'], install }
}
