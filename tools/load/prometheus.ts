import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, isOnPath } from '@tidemark/testkit/redis-process'
import { Child } from '../stack/child.ts'

const PROGRAM = 'prometheus'
const READY_LIMIT_MS = 60_000

/** The scrape interval. A rate needs a few scrapes. */
export const SCRAPE_S = 2

/** The metrics address of a process. */
export interface Target {
  readonly job: string
  /** A name in place of the address, which differs in each run. */
  readonly instance: string
  readonly address: string
}

/** One series of a query result. Times, also of a range, are Unix seconds. */
export interface Line {
  readonly labels: Readonly<Record<string, string>>
  readonly points: readonly (readonly [at: number, value: number])[]
}

export interface Range {
  readonly from: number
  readonly to: number
  readonly step: number
}

export interface Prometheus extends AsyncDisposable {
  query(expression: string, range: Range): Promise<Line[]>
}

export function hasPrometheus(): Promise<boolean> {
  return isOnPath(PROGRAM)
}

/** Starts a temporary Prometheus on a free port, with its data in a temporary folder. */
export async function startPrometheus(targets: readonly Target[]): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  const jobs = Map.groupBy(targets, ({ job }) => job)
  const staticConfig = ({ address, instance }: Target) => ({
    targets: [address],
    labels: { instance, namespace: 'load' },
  })
  // Prometheus reads YAML, and JSON is YAML.
  const settings = {
    global: { scrape_interval: `${SCRAPE_S}s`, scrape_timeout: `${SCRAPE_S}s` },
    scrape_configs: [...jobs].map(([job, ones]) => ({ job_name: job, static_configs: ones.map(staticConfig) })),
  }
  await writeFile(config, JSON.stringify(settings))
  const address = `127.0.0.1:${await freePort()}`
  const child = new Child({
    name: 'Prometheus',
    file: PROGRAM,
    args: [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${address}`],
    env: process.env,
    folder,
  })
  await child.ready(line => line.includes('Server is ready to receive web requests'), READY_LIMIT_MS)
  return {
    async query(expression, { from, to, step }) {
      const parameters = { query: expression, start: String(from), end: String(to), step: String(step) }
      const response = await fetch(`http://${address}/api/v1/query_range?${new URLSearchParams(parameters)}`)
      const reply = (await response.json()) as RangeReply
      if (reply.status !== 'success') throw new Error(`Prometheus rejected ${expression}: ${reply.error}`)
      return reply.data.result.map(({ metric, values }) => ({
        labels: metric,
        points: values.map(([at, value]) => [at, Number(value)] as const),
      }))
    },
    [Symbol.asyncDispose]: () => child.stop(),
  }
}

interface RangeReply {
  readonly status: string
  readonly error?: string
  readonly data: { readonly result: readonly { metric: Record<string, string>; values: [number, string][] }[] }
}
