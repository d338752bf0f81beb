import { mkdir } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { StartFailure } from '../stack/stack.ts'
import { dashboardPanels } from './dashboard.ts'
import { p95Between, type RouteP95, readGatewayTimes } from './gateway-times.ts'
import { type Load, runLocust } from './locust.ts'
import { clientPanels, draw, type Panel, trackPanels } from './pictures.ts'
import { openDisplay } from './progress.ts'
import { hasPrometheus, type Prometheus, type Range, SCRAPE_S, startPrometheus } from './prometheus.ts'
import type { Python } from './python.ts'
import { readiness, startStack } from './stack.ts'
import type { Summary } from './summary.ts'

/** The dashboards that are drawn from the run's own metrics, and the jobs that they are about. */
export const DASHBOARDS = [
  { name: 'overview', job: '.*' },
  { name: 'gateway', job: 'gateway' },
  { name: 'analyzer', job: 'analyzer' },
] as const

/** What a load runs on. */
export interface Machine {
  readonly cores: number
  /** Processes that wanted to run, averages of a minute: before the load, and the most during it. */
  readonly loadBefore: number
  readonly loadMax: number
}

export interface LoadResult {
  readonly summary: Summary
  readonly machine: Machine
  /** By the gateway's own clock; empty where its metrics are not to be had. */
  readonly gatewayP95: readonly RouteP95[]
  /** Undefined where somebody else started it. */
  readonly analyzers: number | undefined
  /** Files in the output folder, by what they show. */
  readonly pictures: readonly LoadPicture[]
}

export interface LoadPicture {
  readonly name: string
  readonly caption: string
}

export interface LoadContext {
  readonly python: Python
  /** Where pictures go; their names begin with the prefix. */
  readonly folder: string
  readonly prefix: string
  /** The paths of Locust's CSV files begin with this. */
  readonly csvPrefix: string
  readonly output: NodeJS.WriteStream
  readonly stop: AbortSignal
}

export interface LoadWanted extends Omit<Load, 'url'> {
  /** Undefined: a stack for the occasion. */
  readonly url: string | undefined
  readonly analyzers: number
}

/** Runs one load and draws its pictures. */
export async function runLoad(wanted: LoadWanted, context: LoadContext): Promise<LoadResult> {
  const { python, folder, prefix, csvPrefix, output, stop } = context
  await mkdir(folder, { recursive: true })
  const cores = availableParallelism()
  const loadBefore = loadavg()[0] ?? 0
  // Better said now than in five minutes.
  if (isBusy({ cores, loadBefore })) output.write(`tidemark: ${busySentence({ cores, loadBefore })}\n`)
  await using resources = new AsyncDisposableStack()
  const stack = wanted.url === undefined ? resources.use(await startStack(wanted.analyzers)) : undefined
  const url = stack?.url ?? wanted.url ?? ''
  if (stack === undefined) await requireGateway(url, wanted.hostHeader)
  const prometheus =
    stack !== undefined && (await hasPrometheus()) ? resources.use(await startPrometheus(stack.targets)) : undefined

  // Behind an ingress there may be several gateways, each of which knows a part.
  const readTimes = async () => (wanted.hostHeader === undefined ? await readGatewayTimes(url) : undefined)
  const timesBefore = await readTimes()
  let loadMax = loadBefore
  const from = Date.now() / 1000
  const title = `${wanted.rps} requests/s, ${wanted.shape}`
  const summary = await (async () => {
    using display = openDisplay(title, output)
    const onProgress: Parameters<typeof runLocust>[0]['onProgress'] = progress => {
      loadMax = Math.max(loadMax, loadavg()[0] ?? 0)
      display.update(progress)
    }
    return runLocust({ load: { ...wanted, url }, python, csvPrefix, onProgress }, stop)
  })()
  const to = Date.now() / 1000
  const timesAfter = await readTimes()
  const gatewayP95 = timesBefore && timesAfter ? p95Between(timesBefore, timesAfter) : []
  stop.throwIfAborted()

  const pictures = python.canDraw ? await picturesOf(summary, prometheus, { from, to, step: SCRAPE_S }) : []
  const drawn = pictures.map(({ name, caption, panels }) => ({ name: `${prefix}${name}.png`, caption, panels }))
  if (drawn.length > 0) {
    await draw(
      drawn.map(({ name, caption, panels }) => ({
        file: join(folder, name),
        title: `${title}: ${caption}`,
        xlabel: 'seconds',
        panels,
      })),
      python,
    )
  }
  return {
    summary,
    machine: { cores, loadBefore, loadMax },
    gatewayP95,
    analyzers: stack?.analyzers,
    pictures: drawn.map(({ name, caption }) => ({ name, caption })),
  }
}

/** Whether others work on the machine: latencies are theirs too then. */
export function isBusy({ cores, loadBefore }: Pick<Machine, 'cores' | 'loadBefore'>): boolean {
  return loadBefore > cores / 2
}

function busySentence({ cores, loadBefore }: Pick<Machine, 'cores' | 'loadBefore'>): string {
  return `other work is going on (load average ${loadBefore.toFixed(1)} on ${cores} cores): latencies will be those of a busy machine`
}

/** What there is to see of a run: from the load generator and, where there was one, from Prometheus. */
async function picturesOf(
  summary: Summary,
  prometheus: Prometheus | undefined,
  range: Range,
): Promise<(LoadPicture & { readonly panels: readonly Panel[] })[]> {
  const dashboards =
    prometheus === undefined
      ? []
      : await Promise.all(
          DASHBOARDS.map(async ({ name, job }) => {
            const { title, panels } = await dashboardPanels(name, { prometheus, range, job })
            return { name, caption: `the dashboard ${title}`, panels }
          }),
        )
  const all = [
    { name: 'client', caption: 'as the load generator saw it', panels: clientPanels(summary) },
    ...dashboards,
    { name: 'verdicts', caption: 'one watched series of each kind', panels: trackPanels(summary) },
  ]
  return all.filter(({ panels }) => panels.length > 0)
}

/** Says it before anything begins when nobody answers there. */
async function requireGateway(url: string, hostHeader: string | undefined): Promise<void> {
  // fetch sends no other Host: behind an ingress it is Locust that finds out.
  if (hostHeader !== undefined) return
  const answer = await readiness(url)
  if (answer === 'ready') return
  throw new StartFailure(`${answer} at ${url}. Start Tidemark with "npm start", or add --stack.`)
}
