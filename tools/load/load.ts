import { mkdir } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { formatCount } from '../lib/format.ts'
import { Failure } from '../lib/options.ts'
import type { Figure, Panel } from '../lib/plot.ts'
import { openProgress, type Progress } from '../lib/progress.ts'
import { dashboardRows } from './dashboard.ts'
import { p95Between, type RouteP95, readGatewayTimes } from './gateway-times.ts'
import { type Load, type LoadProgress, runLocust } from './locust.ts'
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

/** The machine of a load. */
export interface Machine {
  readonly cores: number
  /** The load average of a minute: before the run, and its maximum during the run. */
  readonly loadBefore: number
  readonly loadMax: number
}

export interface LoadResult {
  readonly summary: Summary
  readonly machine: Machine
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

export interface LoadContext {
  /** The Python that has Locust. */
  readonly python: string
  /** The folder of the pictures, and the prefix of their names. */
  readonly folder: string
  readonly prefix: string
  /** The prefix of the paths of Locust's CSV files. */
  readonly csvPrefix: string
  readonly output: NodeJS.WriteStream
  readonly stop: AbortSignal
}

export interface LoadWanted extends Omit<Load, 'url'> {
  /** Undefined: a temporary stack. */
  readonly url: string | undefined
  readonly analyzers: number
}

/** Runs one load and draws its pictures. */
export async function runLoad(wanted: LoadWanted, context: LoadContext): Promise<LoadResult> {
  const { output, stop } = context
  await mkdir(context.folder, { recursive: true })
  const cores = availableParallelism()
  const loadBefore = loadavg()[0] ?? 0
  if (isBusy({ cores, loadBefore })) output.write(`tidemark: ${busySentence({ cores, loadBefore })}\n`)
  await using resources = new AsyncDisposableStack()
  const stack = wanted.url === undefined ? resources.use(await startStack(wanted.analyzers)) : undefined
  const url = stack?.url ?? wanted.url ?? ''
  if (stack === undefined) await requireGateway(url, wanted.hostHeader)
  const prometheus =
    stack !== undefined && (await hasPrometheus()) ? resources.use(await startPrometheus(stack.targets)) : undefined

  // Behind an ingress there may be several gateways, each with a part of the metrics.
  const readTimes = async () => (wanted.hostHeader === undefined ? await readGatewayTimes(url) : undefined)
  const timesBefore = await readTimes()
  const from = Date.now() / 1000
  const { summary, loadMax } = await generate({ ...wanted, url }, context)
  const to = Date.now() / 1000
  const timesAfter = await readTimes()
  const gatewayP95 = timesBefore && timesAfter ? p95Between(timesBefore, timesAfter) : []
  stop.throwIfAborted()
  return {
    summary,
    machine: { cores, loadBefore, loadMax },
    gatewayP95,
    analyzers: stack?.analyzers,
    pictures: await drawPictures(await picturesOf(summary, prometheus, { from, to, step: SCRAPE_S }), wanted, context),
  }
}

/** Runs Locust, shows its progress and watches the load average. */
async function generate(
  load: Load,
  { python, csvPrefix, output, stop }: LoadContext,
): Promise<{ summary: Summary; loadMax: number }> {
  let loadMax = loadavg()[0] ?? 0
  // The duration is known with the first second.
  let progress: Progress | undefined
  const onProgress = (second: LoadProgress): void => {
    loadMax = Math.max(loadMax, loadavg()[0] ?? 0)
    progress ??= openProgress({ output, title: titleOf(load), total: second.seconds })
    progress.update(second.at, describe(second))
  }
  try {
    return { summary: await runLocust({ load, python, csvPrefix, onProgress }, stop), loadMax }
  } finally {
    progress?.[Symbol.dispose]()
  }
}

function titleOf({ rps, shape }: Pick<Load, 'rps' | 'shape'>): string {
  return `${rps} requests/s, ${shape}`
}

function describe({ requests, p95, failures }: LoadProgress): string {
  const failed = failures > 0 ? `, ${formatCount(failures)} FAILED` : ''
  return `${formatCount(requests)} requests/s, p95 ${p95 === null ? '-' : p95.toFixed(1)} ms${failed}`
}

async function drawPictures(
  pictures: readonly PanelPicture[],
  load: Pick<Load, 'rps' | 'shape'>,
  { folder, prefix }: LoadContext,
): Promise<LoadPicture[]> {
  const drawn: LoadPicture[] = []
  for (const { name, caption, rows } of pictures) {
    const file = `${prefix}${name}.png`
    await draw(join(folder, file), { title: `${titleOf(load)}: ${caption}`, xTitle: 'seconds', rows })
    drawn.push({ name: file, caption })
  }
  return drawn
}

/** Returns whether other work runs on the machine: it affects the latencies. */
export function isBusy({ cores, loadBefore }: Pick<Machine, 'cores' | 'loadBefore'>): boolean {
  return loadBefore > cores / 2
}

function busySentence({ cores, loadBefore }: Pick<Machine, 'cores' | 'loadBefore'>): string {
  return `the machine is busy (load average ${loadBefore.toFixed(1)} on ${cores} cores): latencies will be too high`
}

interface PanelPicture extends LoadPicture, Pick<Figure, 'rows'> {}

/** Returns the pictures of a run: from the load generator and, if available, from Prometheus. */
async function picturesOf(summary: Summary, prometheus: Prometheus | undefined, range: Range): Promise<PanelPicture[]> {
  const ofDashboard = async ({ name, job }: (typeof DASHBOARDS)[number]): Promise<PanelPicture[]> => {
    if (prometheus === undefined) return []
    const { title, rows } = await dashboardRows(name, { prometheus, range, job })
    return [{ name, caption: `the dashboard ${title}`, rows }]
  }
  const inRows = (panels: readonly Panel[]): Panel[][] => panels.map(panel => [panel])
  const all = [
    { name: 'client', caption: 'as seen by the load generator', rows: inRows(clientPanels(summary)) },
    ...(await Promise.all(DASHBOARDS.map(ofDashboard))).flat(),
    { name: 'verdicts', caption: 'one watched series of each kind', rows: inRows(trackPanels(summary)) },
  ]
  return all.filter(({ rows }) => rows.length > 0)
}

/** Fails early if no gateway responds. */
async function requireGateway(url: string, hostHeader: string | undefined): Promise<void> {
  // fetch cannot send another Host: behind an ingress, Locust finds out.
  if (hostHeader !== undefined) return
  const state = await readiness(url)
  if (state === 'ready') return
  throw new Failure(`${state} at ${url}. Start Tidemark with "npm start", or add --stack.`)
}
