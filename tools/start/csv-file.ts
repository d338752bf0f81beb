import { type FileHandle, open } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { StartFailure } from '../stack/stack.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read by you',
  EISDIR: 'it is a folder',
}

export interface CsvFile extends AsyncDisposable {
  readonly handle: FileHandle
  /** As it was given. */
  readonly name: string
  /** The key of samples whose line has none: the file's name without folder and extension. */
  readonly key: string
  /** Bytes; 0 of a pipe. */
  readonly size: number
}

/** Opens a file to replay; rejects with a StartFailure that says why it cannot be. */
export async function openFile(name: string): Promise<CsvFile> {
  // npm runs its scripts in the project's folder, wherever it was called.
  const path = resolve(process.env.INIT_CWD ?? '.', name)
  let handle: FileHandle | undefined
  try {
    handle = await open(path)
    const stats = await handle.stat()
    if (stats.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    const opened = handle
    const key = basename(path, extname(path))
    return { handle, name, key, size: stats.size, [Symbol.asyncDispose]: () => opened.close() }
  } catch (error) {
    await handle?.close()
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new StartFailure(`cannot read ${name}: ${REASONS[code] ?? code}`, { cause: error })
  }
}
