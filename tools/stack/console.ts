import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { installed, ROOT } from '../lib/project.ts'

/** Builds the console that the gateway serves at `/`, unless it is up to date. */
export async function buildConsole(): Promise<void> {
  const args = ['run', 'build', '--filter=@tidemark/console', '--output-logs=errors-only']
  await promisify(execFile)(installed('turbo'), args, { cwd: ROOT })
}
