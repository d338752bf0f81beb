import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Returns the path of a program that the root package depends on. */
export function installed(name: string): string {
  return join(ROOT, 'node_modules', '.bin', name)
}

/** Makes a folder that is removed when it is disposed. */
export async function temporaryFolder(purpose: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), `tidemark-${purpose}-`))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}
