import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { promisify } from 'node:util'

/** How long apt-get waits for another apt-get. */
const APT_LOCK_S = 120
const INSTALL_LIMIT_MS = 300_000

/** Returns whether a program is on PATH. */
export async function isOnPath(program: string): Promise<boolean> {
  return succeeds('sh', ['-c', 'command -v "$1"', 'sh', program])
}

/**
 * Returns the package manager that may be used without asking: apt-get as root, which is typical of
 * a container, and apt-get or brew with CI=true. A workstation is never changed.
 */
export async function usableManager(): Promise<'apt-get' | 'brew' | undefined> {
  return (await installer())?.manager
}

/** Installs packages one by one; returns the output. A failure shows in a missing program. */
export async function installPackages(names: readonly string[]): Promise<string> {
  const install = await installer()
  if (install === undefined) return ''
  const lines: string[] = []
  const run = async ([file = '', ...args]: readonly string[]): Promise<void> => {
    const options = { timeout: INSTALL_LIMIT_MS, env: { ...process.env, HOMEBREW_NO_AUTO_UPDATE: '1' } }
    const { stdout, stderr } = await promisify(execFile)(file, args, options).catch(error => error)
    lines.push(`$ ${[file, ...args].join(' ')}\n${stdout}${stderr}`)
  }
  if (install.refresh !== undefined) await run(install.refresh)
  for (const name of names) {
    // Debian starts an installed server, but the tests start their own. A service that existed
    // before stays. A service has the name of its package; docker.io is called docker.
    const script = `/etc/init.d/${name.replace('.io', '')}`
    const hadService = existsSync(script)
    await run([...install.install, name])
    if (!hadService && existsSync(script)) await run([...install.prefix, 'sh', '-c', STOP_SERVICE, basename(script)])
  }
  return lines.join('')
}

/** On machines with systemd these two commands call systemctl. */
const STOP_SERVICE = 'service "$0" stop; update-rc.d "$0" disable'

interface Installer {
  readonly manager: 'apt-get' | 'brew'
  readonly prefix: readonly string[]
  readonly refresh?: readonly string[]
  readonly install: readonly string[]
}

async function installer(): Promise<Installer | undefined> {
  const isCi = process.env.CI === 'true'
  const isRoot = process.getuid?.() === 0
  if (process.platform === 'darwin' && isCi && (await isOnPath('brew'))) {
    return { manager: 'brew', prefix: [], install: ['brew', 'install', '--quiet'] }
  }
  if (!(await isOnPath('apt-get'))) return undefined
  if (!isRoot && !(isCi && (await succeeds('sudo', ['-n', 'true'])))) return undefined
  const prefix = isRoot ? [] : ['sudo', '-n']
  // In runlevel 1 the packages' scripts do not start their servers, unless systemd runs.
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const aptGet = [...prefix, ...environment, 'apt-get', '-q', '-o', `DPkg::Lock::Timeout=${APT_LOCK_S}`]
  return {
    manager: 'apt-get',
    prefix,
    refresh: [...aptGet, 'update'],
    install: [...aptGet, 'install', '-y', '--no-install-recommends'],
  }
}

async function succeeds(file: string, args: readonly string[]): Promise<boolean> {
  return promisify(execFile)(file, args).then(
    () => true,
    () => false,
  )
}
