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

const EXTENSION = /\.csv(?:\.(?:gz|zst))?$/i

/** Returns a file name without `.csv`, `.csv.gz` or `.csv.zst`, or else without its extension. */
export function withoutExtension(file: string): string {
  return EXTENSION.test(file) ? file.replace(EXTENSION, '') : file.slice(0, file.length - extname(file).length)
}

/** Returns the text of a file; `name` says which in a message. */
export async function readText(path: string, name: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Failure(`cannot read ${name}: no such file, or no permission`, { cause: error })
  }
}

/** Returns the file, or every CSV file in and below the folder, sorted by name. */
export async function findInputs(path: string, given: string): Promise<Inputs> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (error) {
    throw new Failure(`cannot read ${given}: there is no such file or folder`, { cause: error })
  }
  if (!isFolder) return { isFolder, files: [await toInput(path, basename(path))] }
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  // A link to a file is read; a link to a folder might lead back to this one.
  const files = entries
    .filter(entry => EXTENSION.test(entry.name) && (entry.isFile() || entry.isSymbolicLink()))
    .map(entry => relative(path, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  if (files.length === 0) throw new Failure(`there is no .csv file (or .csv.gz, .csv.zst) in or below ${given}`)
  return { isFolder, files: await Promise.all(files.toSorted().map(file => toInput(join(path, file), file))) }
}

async function toInput(path: string, file: string): Promise<Input> {
  return { path, file, name: withoutExtension(basename(file)), bytes: (await stat(path)).size }
}
