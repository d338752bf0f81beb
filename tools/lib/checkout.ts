import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT, temporaryFolder } from './project.ts'

const run = promisify(execFile)

const INSTALL = [
  ...['install', '--frozen-lockfile', '--prefer-offline', '--prod', '--ignore-scripts'],
  ...['--filter', '@tidemark/gateway...', '--filter', '@tidemark/analyzer...'],
]

export interface Checkout extends AsyncDisposable {
  /** The folder of its code, with its own dependencies. */
  readonly root: string
}

/** Returns the full id of a commit of the local git history; undefined if there is none. */
export async function commitId(commit: string): Promise<string | undefined> {
  // Not as an option of git, whatever it is.
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`]
  return run('git', args, { cwd: ROOT }).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
}

/**
 * Takes the code of a commit from the local git history into a temporary folder, and installs what
 * its gateway and analyzer need, as its lock file names it.
 */
export async function checkOut(commit: string): Promise<Checkout> {
  await using starting = new AsyncDisposableStack()
  const folder = starting.use(await temporaryFolder('checkout'))
  const archive = join(folder.path, 'code.tar')
  const root = join(folder.path, 'code')
  await mkdir(root)
  await run('git', ['archive', '--output', archive, commit], { cwd: ROOT })
  await run('tar', ['-xf', archive, '-C', root])
  const pnpm = join(ROOT, '.tools', 'node_modules', '.bin', 'pnpm')
  await run(pnpm, INSTALL, { cwd: root, env: { ...process.env, CI: 'true' }, maxBuffer: 1 << 26 })
  const resources = starting.move()
  return { root, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
