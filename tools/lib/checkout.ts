import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT } from './project.ts'

const run = promisify(execFile)

/** A commit never changes, so its checkout is kept, under the id of the commit. */
const CHECKOUTS = join(ROOT, '.tools', 'checkouts')

const INSTALL = [
  ...['install', '--frozen-lockfile', '--prefer-offline', '--prod', '--ignore-scripts'],
  ...['--filter', '@tidemark/gateway...', '--filter', '@tidemark/analyzer...'],
]

/** Returns the full id of a commit of the local git history; undefined if there is none. */
export async function commitId(commit: string): Promise<string | undefined> {
  // A text that begins with a dash is not an option of git.
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`]
  return run('git', args, { cwd: ROOT }).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
}

/**
 * Returns the folder of the code of a commit of the local git history, with what its gateway and
 * analyzer need, as its lock file names it.
 */
export async function checkOut(id: string): Promise<string> {
  const root = join(CHECKOUTS, id)
  if (existsSync(root)) return root
  await mkdir(CHECKOUTS, { recursive: true })
  // The folder is complete as soon as it exists, even if two processes make it at the same time.
  const folder = await mkdtemp(join(CHECKOUTS, 'new-'))
  try {
    const archive = join(folder, 'code.tar')
    const code = join(folder, 'code')
    await mkdir(code)
    await run('git', ['archive', '--output', archive, id], { cwd: ROOT })
    await run('tar', ['-xf', archive, '-C', code])
    const pnpm = join(ROOT, '.tools', 'node_modules', '.bin', 'pnpm')
    await run(pnpm, INSTALL, { cwd: code, env: { ...process.env, CI: 'true' }, maxBuffer: 1 << 26 })
    await rename(code, root).catch(error => {
      if (!existsSync(root)) throw error
    })
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  return root
}
