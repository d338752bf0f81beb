import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, extname, join, relative } from 'node:path'
import { Failure } from '../lib/options.ts'

/** A file to run. */
export interface Input {
  readonly path: string
  /** The path below the given folder, with slashes; just the file name if a file was given. */
  readonly file: string
  /** The key of samples without a key. */
  readonly name: string
  readonly bytes: number
}

export interface Inputs {
  readonly isFolder: boolean
  readonly files: readonly Input[]
}

/** Returns the text of a file; `name` says which in a message. */
export async function readText(path: string, name: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Failure(`cannot read ${name}: no such file, or no permission`, { cause: error })
  }
}

/** Returns the file, or every .csv file in and below the folder, sorted by name. */
export async function findInputs(path: string, given: string): Promise<Inputs> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (error) {
    throw new Failure(`cannot read ${given}: there is no such file or folder`, { cause: error })
  }
  if (!isFolder) return { isFolder, files: [await toInput(path, basename(path))] }
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const found = entries.filter(entry => entry.isFile() && extname(entry.name).toLowerCase() === '.csv')
  if (found.length === 0) throw new Failure(`there is no .csv file in ${given}`)
  const files = found.map(entry => relative(path, join(entry.parentPath, entry.name)).replaceAll('\\', '/')).toSorted()
  return { isFolder, files: await Promise.all(files.map(file => toInput(join(path, file), file))) }
}

async function toInput(path: string, file: string): Promise<Input> {
  return { path, file, name: basename(file, extname(file)), bytes: (await stat(path)).size }
}
