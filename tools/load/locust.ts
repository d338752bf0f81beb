import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Failure } from '../lib/options.ts'
import { Child } from '../stack/child.ts'
import type { Second, Summary } from './summary.ts'

/** The first character of each line that locust/locustfile.py writes for this program. */
const MARK = '\u001e'

const LOCUSTFILE = fileURLToPath(new URL('../../locust/locustfile.py', import.meta.url))

/** Locust's last lines in an error message. */
const LINES_SHOWN = 15

export interface Load {
  readonly url: string
  readonly shape: string
  readonly rps: number
  /** Undefined: the shape's own duration. */
  readonly seconds: number | undefined
  readonly seed: number
  /** The Host of every request. */
  readonly hostHeader: string | undefined
  /** Further options of Locust and the locustfile. */
  readonly moreOptions: readonly string[]
}

/** A second of a run, and the duration of the run. */
export type LoadProgress = Second & { readonly seconds: number }

export interface LocustRun {
  readonly load: Load
  /** The Python that has Locust. */
  readonly python: string
  /** The prefix of the paths of Locust's CSV files. */
  readonly csvPrefix: string
  readonly onProgress: (second: LoadProgress) => void
  readonly stop: AbortSignal
}

/** Returns the help of Locust and the locustfile. */
export function locustHelp(python: string): string {
  const { stdout, stderr } = spawnSync(python, ['-m', 'locust', '-f', LOCUSTFILE, '--help'], { encoding: 'utf8' })
  return `${stdout}${stderr}`
}

/** Runs Locust until it ends or `stop` aborts it. Returns its summary. */
export async function runLocust({ load, python, csvPrefix, onProgress, stop }: LocustRun): Promise<Summary> {
  const { url, shape, rps, seconds, seed, hostHeader, moreOptions } = load
  const options = [
    `--host=${url}`,
    `--shape=${shape}`,
    `--rps=${rps}`,
    `--seed=${seed}`,
    ...(seconds === undefined ? [] : [`--seconds=${seconds}`]),
    ...(hostHeader === undefined ? [] : [`--host-header=${hostHeader}`]),
    `--csv=${csvPrefix}`,
    // A request cut off by the end of the run would count as a failure.
    '--stop-timeout=10',
  ]
  const headless = ['--headless', '--only-summary', '--loglevel', 'WARNING', '--report-json']
  await using child = new Child({
    name: 'Locust',
    file: python,
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
    const lines = child.lines.filter(line => !line.startsWith(MARK)).slice(-LINES_SHOWN)
    throw new Failure(`Locust ended with code ${code} and without a summary:\n${lines.join('\n')}`)
  } finally {
    stop.removeEventListener('abort', end)
  }
}
