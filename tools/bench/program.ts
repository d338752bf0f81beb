import { fileURLToPath } from 'node:url'
import { Child } from '../stack/child.ts'

/** Prints the process id and becomes the program: the visible child is only its guard. */
const ANNOUNCE = `echo '{"processId":'$$'}'; exec "$@"`

export interface Program extends AsyncDisposable {
  readonly pid: number
  /** Returns the next line of its output, parsed as JSON. Rejects if the program ends first. */
  next<T>(): Promise<T>
}

/** Runs a file of this folder as a process that cannot outlive this one. */
export async function startProgram(file: string, args: readonly (string | number)[] = []): Promise<Program> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = new Child({
    name: file,
    file: 'sh',
    args: ['-c', ANNOUNCE, 'tidemark-bench', process.execPath, path, ...args.map(String)],
    env: { PATH: process.env.PATH },
  })
  const lines: unknown[] = []
  let wake: () => void = () => {}
  child.onLine(line => {
    if (!line.startsWith('{')) return
    lines.push(JSON.parse(line))
    wake()
  })
  let hasEnded = false
  void child.exited.then(() => {
    hasEnded = true
    wake()
  })
  async function next<T>(): Promise<T> {
    while (lines.length === 0) {
      if (hasEnded) throw new Error(`${file} ended without a result:\n${child.lines.join('\n')}`)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
    return lines.shift() as T
  }
  const { processId } = await next<{ processId: number }>()
  return { pid: processId, next, [Symbol.asyncDispose]: () => child.stop() }
}

/** Runs a file of this folder and returns the JSON that it prints. */
export async function runProgram<T>(file: string, args: readonly (string | number)[] = []): Promise<T> {
  await using program = await startProgram(file, args)
  return await program.next<T>()
}
