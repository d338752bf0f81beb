import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root folder of the repository. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Returns the path of a program that the root package depends on. */
export function installed(name: string): string {
  return join(ROOT, 'node_modules', '.bin', name)
}
