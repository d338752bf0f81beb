import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { type CsvOptions, CsvParser } from '../lib/csv/parser.ts'
import { CsvProblem } from '../lib/csv/problem.ts'
import { readItems } from '../lib/csv/read.ts'
import { describeFormat } from '../lib/csv/report.ts'
import { Failure } from '../lib/options.ts'

const OPEN_FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'you have no permission to read it',
  EISDIR: 'it is a folder',
}

export interface CsvFile extends AsyncDisposable {
  readonly handle: FileHandle
  readonly path: string
  readonly name: string
  /** The key of samples without a key column: the name of the file without folder and extension. */
  readonly key: string
  /** Bytes; 0 for a pipe. */
  readonly size: number
}

/** Opens a file to replay; rejects with a Failure that states the reason. */
export async function openFile(name: string): Promise<CsvFile> {
  // npm runs scripts in the project's folder; INIT_CWD is the folder in which npm was called.
  const path = resolve(process.env.INIT_CWD ?? '.', name)
  try {
    const handle = await open(path)
    const stats = await handle.stat()
    if (!stats.isDirectory()) {
      const key = basename(path, extname(path))
      return { handle, path, name, key, size: stats.size, [Symbol.asyncDispose]: () => handle.close() }
    }
    await handle.close()
    throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new Failure(`cannot read ${name}: ${OPEN_FAILURES[code] ?? code}`, { cause: error })
  }
}

/** Returns the bytes of a file that is open. */
export function chunksOf({ handle }: CsvFile): AsyncIterable<Uint8Array> {
  return handle.createReadStream({ autoClose: false })
}

/**
 * Returns how a file will be read, before anything is started for it. Rejects with a Failure if it
 * has no samples.
 */
export async function previewFile(file: CsvFile, options: CsvOptions): Promise<string[]> {
  // What a pipe has given is gone.
  if (file.size === 0 && !(await file.handle.stat()).isFile()) return []
  const parser = new CsvParser(options, file.key)
  return await withProblems(file.name, async () => {
    for await (const _ of readItems(createReadStream(file.path), parser)) break
    return describeFormat(parser, file.key)
  })
}

/** Does `work`, and turns what is wrong with the file into a Failure that names it. */
export async function withProblems<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof CsvProblem) throw new Failure(`cannot read ${name}: ${error.message}`, { cause: error })
    throw error
  }
}
