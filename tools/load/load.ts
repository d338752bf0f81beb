import { mkdir } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { formatCount } from '../lib/format.ts'
import { Failure } from '../lib/options.ts'
import type { Figure } from '../lib/plot.ts'
import { openProgress, type Progress } from '../lib/progress.ts'
import { dashboardRows } from './dashboard.ts'
import { p95Between, type RouteP95, readGatewayTimes } from './gateway-times.ts'
import { type Load, type LoadProgress, type LocustRun, runLocust } from './locust.ts'
import { clientPanels, draw, trackPanels } from './pictures.ts'
import { hasPrometheus, type Prometheus, type Range, SCRAPE_S, startPrometheus } from './prometheus.ts'
import { readiness, startStack } from './stack.ts'
import type { Summary } from './summary.ts'

/** The dashboards drawn from the metrics of the run, and the jobs whose metrics they show. */
export const DASHBOARDS = [
  { name: 'overview', job: '.*' },
  { name: 'gateway', job: 'gateway' },
  { name: 'analyzer', job: 'analyzer' },
] as const

export interface LoadResult {
  readonly summary: Summary
  /** The load average of a minute: before the run, and its maximum during the run. */
  readonly machine: { readonly cores: number; readonly loadBefore: number; readonly loadMax: number }
  /** Measured by the gateway; empty if its metrics are not available. */
  readonly gatewayP95: readonly RouteP95[]
  /** Undefined if the stack was started by something else. */
  readonly analyzers: number | undefined
  /** Files in the output folder. */
  readonly pictures: readonly LoadPicture[]
}

export interface LoadPicture {
  readonly name: string
  readonly caption: string
}

export interface LoadContext extends Pick<LocustRun, 'python' | 'csvPrefix' | 'stop'> {
  /** The folder of the pictures, and the prefix of their names. */
  readonly folder: string
  readonly prefix: string
  readonly output: NodeJS.WriteStream
}

export interface LoadWanted extends Omit<Load, 'url'> {
  /** Undefined: a temporary stack. */
  readonly url: string | undefined
  readonly analyzers: number
}

/** Runs one load and draws its pictures. */
export async function runLoad(wanted: LoadWanted, context: LoadContext): Promise<LoadResult> {
  const { output, stop, folder } = context
  await mkdir(folder, { recursive: true })
  const cores = availableParallelism()
  const loadBefore = loadavg()[0] ?? 0
  if (isBusy({ cores, loadBefore })) {
    const load = `load average ${loadBefore.toFixed(1)} on ${cores} cores`
    output.write(`tidemark: the machine is busy (${load}): latencies will be too high\n`)
  }
  await using resources = new AsyncDisposableStack()
  const stack = wanted.url === undefined ? resources.use(await startStack(wanted.analyzers)) : undefined
  const url = stack?.url ?? wanted.url ?? ''
  // fetch cannot send another Host: behind an ingress, Locust finds out.
  if (stack === undefined && wanted.hostHeader === undefined) await requireGateway(url)
  const prometheus =
    stack !== undefined && (await hasPrometheus()) ? resources.use(await startPrometheus(stack.targets)) : undefined

  // Behind an ingress there may be several gateways, each with a part of the metrics.
  const readTimes = async () => (wanted.hostHeader === undefined ? await readGatewayTimes(url) : undefined)
  const timesBefore = await readTimes()
  const from = Date.now() / 1000
  const { summary, loadMax } = await generate({ ...wanted, url }, context)
  const range = { from, to: Date.now() / 1000, step: SCRAPE_S }
  const timesAfter = await readTimes()
  stop.throwIfAborted()
  return {
    summary,
    machine: { cores, loadBefore, loadMax },
    gatewayP95: timesBefore && timesAfter ? p95Between(timesBefore, timesAfter) : [],
    analyzers: stack?.analyzers,
    pictures: await drawPictures(summary, await dashboardPictures(prometheus, range), context),
  }
}

/** Runs Locust, shows its progress and watches the load average. */
async function generate(load: Load, context: LoadContext): Promise<{ summary: Summary; loadMax: number }> {
  let loadMax = loadavg()[0] ?? 0
  // The duration is known with the first second.
  let progress: Progress | undefined
  const onProgress = ({ at, seconds, requests, p95, failures }: LoadProgress): void => {
    loadMax = Math.max(loadMax, loadavg()[0] ?? 0)
    progress ??= openProgress({ output: context.output, title: titleOf(load), total: seconds })
    const failed = failures > 0 ? `, ${formatCount(failures)} FAILED` : ''
    progress.update(at, `${formatCount(requests)} requests/s, p95 ${p95?.toFixed(1) ?? '-'} ms${failed}`)
  }
  try {
    return { summary: await runLocust({ ...context, load, onProgress }), loadMax }
  } finally {
    progress?.[Symbol.dispose]()
  }
}

function titleOf({ rps, shape }: Pick<Load, 'rps' | 'shape'>): string {
  return `${rps} requests/s, ${shape}`
}

/** Draws the pictures of a run: from the load generator and, if available, from Prometheus. */
async function drawPictures(
  summary: Summary,
  dashboards: readonly Picture[],
  { folder, prefix }: LoadContext,
): Promise<LoadPicture[]> {
  const pictures = [
    { name: 'client', caption: 'as seen by the load generator', rows: clientPanels(summary).map(panel => [panel]) },
    ...dashboards,
    { name: 'verdicts', caption: 'one watched series of each kind', rows: trackPanels(summary).map(panel => [panel]) },
  ]
  const drawn: LoadPicture[] = []
  for (const { name, caption, rows } of pictures.filter(one => one.rows.length > 0)) {
    const file = `${prefix}${name}.png`
    await draw(join(folder, file), { title: `${titleOf(summary)}: ${caption}`, xTitle: 'seconds', rows })
    drawn.push({ name: file, caption })
  }
  return drawn
}

type Picture = LoadPicture & Pick<Figure, 'rows'>

/** Returns the dashboards with the metrics of a run; none without Prometheus. */
async function dashboardPictures(prometheus: Prometheus | undefined, range: Range): Promise<Picture[]> {
  if (prometheus === undefined) return []
  const drawn = DASHBOARDS.map(async ({ name, job }) => {
    const { title, rows } = await dashboardRows(name, { prometheus, range, job })
    return { name, caption: `the dashboard ${title}`, rows }
  })
  return Promise.all(drawn)
}

/** Returns whether other work runs on the machine: it affects the latencies. */
export function isBusy({ cores, loadBefore }: Pick<LoadResult['machine'], 'cores' | 'loadBefore'>): boolean {
  return loadBefore > cores / 2
}

/** Fails early if no gateway responds. */
async function requireGateway(url: string): Promise<void> {
  const state = await readiness(url)
  if (state !== 'ready') throw new Failure(`${state} at ${url}. Start Tidemark with "npm start", or add --stack.`)
}
