import { fileURLToPath } from 'node:url'
import { Child } from '../stack/child.ts'

type Arguments = readonly (string | number)[]

/** A server that does less than the gateway. */
export interface FloorServer extends AsyncDisposable {
  readonly pid: number
  readonly port: number
}

/** Starts a server of this folder; it prints its `pid` and `port`. */
export async function startFloor(file: string, args: Arguments): Promise<FloorServer> {
  const { child, output } = await start<{ pid: number; port: number }>(file, args)
  return { ...output, [Symbol.asyncDispose]: () => child.stop() }
}

/** Runs a file of this folder and returns the JSON that it prints. */
export async function runProgram<T>(file: string, args: Arguments = []): Promise<T> {
  const { child, output } = await start<T>(file, args)
  await child.stop()
  return output
}

/** Runs a file as a process that cannot outlive this one, up to its first line of JSON. */
async function start<T>(file: string, args: Arguments): Promise<{ child: Child; output: T }> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const env = { PATH: process.env.PATH }
  const child = new Child({ name: file, file: process.execPath, args: [path, ...args.map(String)], env })
  const { promise, resolve } = Promise.withResolvers<T>()
  child.onLine(line => {
    if (line.startsWith('{')) resolve(JSON.parse(line))
  })
  const ended = child.exited.then(() => {
    throw new Error(`${file} ended without a result:\n${child.lines.join('\n')}`)
  })
  return { child, output: await Promise.race([promise, ended]) }
}
