import { readdir, stat } from 'node:fs/promises'
import { basename, extname, join, relative } from 'node:path'
import { BacktestFailure } from './failure.ts'

/** A file to run. */
export interface Input {
  readonly path: string
  /** Below the folder that was given, with slashes; the file's own name when it was a file. */
  readonly file: string
  /** What its samples are called where they have no key. */
  readonly name: string
  readonly bytes: number
}

export interface Inputs {
  readonly isFolder: boolean
  readonly files: readonly Input[]
}

/** The file, or every .csv file in and below the folder, in the order of their names. */
export async function findInputs(path: string, given: string): Promise<Inputs> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (error) {
    throw new BacktestFailure(`cannot read ${given}: there is no such file or folder`, { cause: error })
  }
  if (!isFolder) return { isFolder, files: [await toInput(path, basename(path))] }
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const found = entries.filter(entry => entry.isFile() && extname(entry.name).toLowerCase() === '.csv')
  if (found.length === 0) throw new BacktestFailure(`there is no .csv file in ${given}`)
  const files = found.map(entry => relative(path, join(entry.parentPath, entry.name)).replaceAll('\\', '/')).toSorted()
  return { isFolder, files: await Promise.all(files.map(file => toInput(join(path, file), file))) }
}

async function toInput(path: string, file: string): Promise<Input> {
  return { path, file, name: basename(file, extname(file)), bytes: (await stat(path)).size }
}
