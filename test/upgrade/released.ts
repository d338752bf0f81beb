import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT, temporaryFolder } from '@tidemark/tools/lib/project'

const run = promisify(execFile)

/** The commit of 0.1.0, the oldest version that upgrades and rollbacks are tested with. */
const COMMIT = 'ca35286'

const INSTALL = [
  ...['install', '--frozen-lockfile', '--prefer-offline', '--prod', '--ignore-scripts'],
  ...['--filter', '@tidemark/gateway...', '--filter', '@tidemark/analyzer...'],
]

export interface ReleasedVersion extends AsyncDisposable {
  readonly name: string
  /** The folder of its code, with its own dependencies. */
  readonly root: string
}

/** Why its code is not at hand; undefined if it is. */
export async function missingRelease(): Promise<string | undefined> {
  const found = await run('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: ROOT }).then(
    () => true,
    () => false,
  )
  if (found) return undefined
  return `the commit ${COMMIT} of version 0.1.0 is not in the local git history: run "git fetch --unshallow"`
}

/** Takes the code of 0.1.0 from the local git history, and installs what its lock file names. */
export async function checkOutRelease(): Promise<ReleasedVersion> {
  await using starting = new AsyncDisposableStack()
  const folder = starting.use(await temporaryFolder('release'))
  const archive = join(folder.path, 'code.tar')
  const root = join(folder.path, 'code')
  await mkdir(root)
  await run('git', ['archive', '--output', archive, COMMIT], { cwd: ROOT })
  await run('tar', ['-xf', archive, '-C', root])
  const pnpm = join(ROOT, '.tools', 'node_modules', '.bin', 'pnpm')
  await run(pnpm, INSTALL, { cwd: root, env: { ...process.env, CI: 'true' }, maxBuffer: 1 << 26 })
  const resources = starting.move()
  return { name: '0.1.0', root, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
