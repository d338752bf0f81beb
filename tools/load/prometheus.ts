import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { isOnPath } from '@tidemark/testkit/redis-process'
import { Child } from '../stack/child.ts'

const PROGRAM = 'prometheus'
const READY_DEADLINE_MS = 20_000

/** Between two looks at the services. A rate needs a few of them. */
export const SCRAPE_S = 2

/** Where a process shows its metrics. */
export interface Target {
  readonly job: string
  /** What it is called instead of its address, which is another each time. */
  readonly instance: string
  readonly address: string
}

/** One line of a query's answer: points of Unix seconds and a value. */
export interface Line {
  readonly labels: Readonly<Record<string, string>>
  readonly points: readonly (readonly [at: number, value: number])[]
}

export interface Range {
  /** Unix seconds. */
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

/** A Prometheus for the occasion, on a free port of this computer, that keeps its data in a temporary folder. */
export async function startPrometheus(targets: readonly Target[]): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  const jobs = Map.groupBy(targets, ({ job }) => job)
  // Prometheus reads YAML, and JSON is YAML.
  const settings = {
    global: { scrape_interval: `${SCRAPE_S}s`, scrape_timeout: `${SCRAPE_S}s` },
    scrape_configs: [...jobs].map(([job, ones]) => ({
      job_name: job,
      static_configs: ones.map(({ address, instance }) => ({
        targets: [address],
        labels: { instance, namespace: 'load' },
      })),
    })),
  }
  await writeFile(config, JSON.stringify(settings))
  const address = `127.0.0.1:${await freePort()}`
  const child = new Child({
    name: 'Prometheus',
    file: PROGRAM,
    args: [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ],
    env: process.env,
    folder,
  })
  await ready(child, address)
  return {
    async query(expression, { from, to, step }) {
      const parameters = { query: expression, start: String(from), end: String(to), step: String(step) }
      const response = await fetch(`http://${address}/api/v1/query_range?${new URLSearchParams(parameters)}`)
      const answer = (await response.json()) as RangeAnswer
      if (answer.status !== 'success') throw new Error(`Prometheus does not take ${expression}: ${answer.error}`)
      return answer.data.result.map(({ metric, values }) => ({
        labels: metric,
        points: values.map(([at, value]) => [at, Number(value)] as const),
      }))
    },
    [Symbol.asyncDispose]: () => child.stop(),
  }
}

interface RangeAnswer {
  readonly status: string
  readonly error?: string
  readonly data: {
    readonly result: readonly {
      readonly metric: Record<string, string>
      readonly values: readonly (readonly [number, string])[]
    }[]
  }
}

async function ready(child: Child, address: string): Promise<void> {
  let hasEnded = false
  void child.exited.then(() => {
    hasEnded = true
  })
  const deadline = performance.now() + READY_DEADLINE_MS
  while (!hasEnded && performance.now() < deadline) {
    const response = await fetch(`http://${address}/-/ready`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok === true) return
    await pause(100)
  }
  await child.stop()
  throw new Error(`Prometheus did not start:\n${child.lines.join('\n')}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
