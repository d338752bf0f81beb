import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Child } from '../stack/child.ts'
import { StartFailure } from '../stack/stack.ts'
import type { Python } from './python.ts'
import type { Second, Summary } from './summary.ts'

/** Begins a line of locust/locustfile.py that is for this program. */
const MARK = '\u001e'

const LOCUSTFILE = fileURLToPath(new URL('../../locust/locustfile.py', import.meta.url))

/** What Locust says when it is well, of no use here. */
const LINES_SHOWN = 15

export interface Load {
  readonly url: string
  readonly shape: string
  readonly rps: number
  /** Undefined: as long as the shape takes by itself. */
  readonly seconds: number | undefined
  readonly seed: number
  /** Sent as every request's Host. */
  readonly hostHeader: string | undefined
  /** For Locust and the locustfile, as they are. */
  readonly moreOptions: readonly string[]
}

export interface LoadProgress extends Second {
  readonly seconds: number
}

export interface LocustRun {
  readonly load: Load
  readonly python: Python
  /** Locust's own CSV files begin with this. */
  readonly csvPrefix: string
  readonly onProgress: (progress: LoadProgress) => void
}

/** What Locust and the locustfile take. */
export function locustHelp({ program }: Python): string {
  const { stdout, stderr } = spawnSync(program, ['-m', 'locust', '-f', LOCUSTFILE, '--help'], { encoding: 'utf8' })
  return `${stdout}${stderr}`
}

/** Runs Locust to its end, or until `stop` aborts: then it ends early, with a summary of what there was. */
export async function runLocust(
  { load, python, csvPrefix, onProgress }: LocustRun,
  stop: AbortSignal,
): Promise<Summary> {
  const { url, shape, rps, seconds, seed, hostHeader, moreOptions } = load
  const options = [
    ...['--host', url, '--shape', shape, '--rps', String(rps), '--seed', String(seed)],
    ...(seconds === undefined ? [] : ['--seconds', String(seconds)]),
    ...(hostHeader === undefined ? [] : ['--host-header', hostHeader]),
    // Users finish what they are at: a request that was cut off by the end of the run is no failure.
    ...['--csv', csvPrefix, '--stop-timeout', '10'],
  ]
  const headless = ['--headless', '--only-summary', '--loglevel', 'WARNING', '--tell']
  await using child = new Child({
    name: 'Locust',
    file: python.program,
    args: ['-m', 'locust', '-f', LOCUSTFILE, ...headless, ...options, ...moreOptions],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  let summary: Summary | undefined
  child.onLine(line => {
    if (!line.startsWith(MARK)) return
    const { kind, ...message } = JSON.parse(line.slice(MARK.length)) as { kind: string }
    if (kind === 'progress') onProgress(message as unknown as LoadProgress)
    if (kind === 'summary') summary = message as unknown as Summary
  })
  const end = (): void => void child.stop()
  stop.addEventListener('abort', end, { once: true })
  try {
    const { code } = await child.exited
    if (summary !== undefined) return summary
    const words = child.lines.filter(line => !line.startsWith(MARK)).slice(-LINES_SHOWN)
    throw new StartFailure(`Locust ended with code ${code} and without a summary:\n${words.join('\n')}`)
  } finally {
    stop.removeEventListener('abort', end)
  }
}
