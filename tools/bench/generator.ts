import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** What sends one sample per request. autocannon takes several times the CPU of wrk. */
export type Generator = 'wrk' | 'autocannon'

let found: Promise<Generator> | undefined

/** Returns wrk if it is installed. */
export function findGenerator(): Promise<Generator> {
  found ??= promisify(execFile)('wrk', ['--version']).then(
    () => 'wrk',
    // Its --version prints the version and exits with 1, as its usage does.
    ({ code }: NodeJS.ErrnoException) => (code === 'ENOENT' ? 'autocannon' : 'wrk'),
  )
  return found
}
