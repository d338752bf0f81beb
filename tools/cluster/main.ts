import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { join, relative } from 'node:path'
import type { Client } from '@tidemark/client/client'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { formatCount, formatDuration } from '../lib/format.ts'
import { Failure, runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { ROOT } from '../lib/project.ts'
import { formatTable, replaceSection } from '../lib/table.ts'
import type { LoadRow } from '../load/cluster-section.ts'
import { interruptible } from '../load/interruptible.ts'
import { averageMs, worstP95 } from '../load/summary.ts'
import { AutoscalingRecorder, mostReplicas } from './autoscaling.ts'
import { Deployment } from './deployment.ts'
import { checkVerdicts, drainNode, killPods, rollOut } from './exercises.ts'
import { loaderFor, loadImages } from './images.ts'
import { type Inspection, inspect } from './inspect.ts'
import { Cluster } from './kube.ts'
import { type ClusterLoad, runLoadJob } from './load.ts'
import { buildManifests, imagesOf, type Manifest, missingKinds } from './manifests.ts'
import { type ClusterOptions, COMMAND, type Exercise, readOptions } from './options.ts'
import { drawAutoscaling, PICTURE, pageSections } from './page.ts'
import { backupAndRestore } from './restore.ts'
import { type ClusterResult, type Row, thin } from './result.ts'
import { openWayIn } from './way-in.ts'

const PAGE = 'cluster.md'
/** Every figure of the page, beside this program. */
const RESULT = new URL('result.json', import.meta.url)

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => {
  const options = readOptions(args)
  return interruptible(stop => main(options, stop))
})

async function main(options: ClusterOptions, stop: AbortSignal): Promise<number> {
  await using cluster = await Cluster.open(options.context)
  const manifests = await buildManifests(cluster, options.overlay)
  const namespace = manifests.find(({ kind }) => kind === 'Namespace')?.metadata.name
  if (namespace === undefined) throw new Failure(`${options.overlay} creates no namespace: it must include k8s/base`)
  const deployment = new Deployment(cluster, namespace, stop)
  if (options.down) {
    const isRemoved = await deployment.remove(manifests)
    process.stdout.write(isRemoved ? `The namespace ${namespace} is gone.\n` : `There is no namespace ${namespace}.\n`)
    return 0
  }
  const result = await exercise({ cluster, manifests, deployment, options, stop })
  const head = ['exercise', 'result', '']
  process.stdout.write(
    `\n${formatTable(
      head,
      result.rows.map(({ what, result: text, isGood }) => [what, text, isGood ? 'good' : 'FAILED']),
    )}\n`,
  )
  if (options.out !== undefined) await writePage(result, options.out)
  return result.rows.every(({ isGood }) => isGood) ? 0 : 1
}

interface Context {
  readonly cluster: Cluster
  readonly manifests: readonly Manifest[]
  readonly deployment: Deployment
  readonly options: ClusterOptions
  readonly stop: AbortSignal
}

async function exercise(context: Context): Promise<ClusterResult> {
  const { cluster, manifests, deployment, options, stop } = context
  const loadBefore = loadavg()[0] ?? 0
  using progress = openProgress({ output: process.stderr, title: 'cluster' })
  const rows: Row[] = []
  const step = async <T>(title: string, work: () => Promise<T>): Promise<T> => {
    progress.update(0, title)
    progress.say(`${new Date().toISOString().slice(11, 19)} ${title}`)
    stop.throwIfAborted()
    return await work()
  }
  const add = (...more: readonly Row[]): void => {
    rows.push(...more)
    for (const { what, result, isGood } of more) progress.say(`  ${isGood ? '' : 'FAILED: '}${what}: ${result}`)
  }

  const found = await step('what the cluster offers', () => inspect(cluster))
  add(...inspectionRows(found, manifests))
  const images = imagesOf(manifests)
  const loader = loaderFor(options.context ?? (await cluster.kubectl(['config', 'current-context'])).trim())
  if (loader !== undefined) {
    const loaded = await step('images', () => loadImages(loader, images, options.next))
    add({ what: 'images', result: `${loaded.join(', ')} built and loaded by ${loader.name}`, isGood: true })
  }
  const begin = performance.now()
  await step('the deployment', async () => {
    await deployment.apply(manifests)
    await deployment.ready()
  })
  const readyMs = performance.now() - begin
  add({
    what: 'server-side apply, strict validation',
    result: `${manifests.length} objects; all pods ready after ${formatDuration(readyMs)}`,
    isGood: true,
  })
  if (found.hasMetrics) await step('the autoscalers', () => deployment.autoscaled())

  await using wayIn = await openWayIn(cluster, deployment, options.url, stop)
  const { client } = wayIn
  const tools = { client, deployment, stop }
  const loads: LoadRow[] = []
  let autoscalers: ClusterResult['autoscalers'] = []
  const runs: Readonly<Record<Exercise, () => Promise<readonly Row[]>>> = {
    verdicts: async () => [await checkVerdicts(client)],
    kill: () => killPods(tools),
    drain: async () => [await drainNode(tools)],
    rollout: () => rollOut(tools, options.next),
    load: async () => {
      const recorded = await runLoads(context, text => progress.say(text))
      loads.push(...recorded.loads)
      autoscalers = recorded.autoscalers
      return recorded.rows
    },
    restore: async () => [await restoreRow(context, client)],
  }
  for (const name of options.exercises) add(...(await step(name, runs[name])))
  return {
    date: new Date().toISOString().slice(0, 10),
    command: ['npm run cluster', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    kubernetes: found.version,
    runtimes: found.runtimes,
    nodes: found.nodes.length,
    wayIn: wayIn.title,
    overlay: relative(ROOT, options.overlay),
    cpuRequests: cpuRequests(manifests),
    cores: availableParallelism(),
    ...{ loadBefore, rows, loads, autoscalers },
  }
}

function inspectionRows(found: Inspection, manifests: readonly Manifest[]): Row[] {
  const missing = missingKinds(manifests, found.kinds)
  if (missing.length > 0)
    throw new Failure(`the cluster does not serve ${missing.join(', ')}: install their CRDs first`)
  const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '))
  const nodes = `${found.nodes.length} nodes (${found.runtimes.join(', ')})`
  const ways = `ingress classes: ${list(found.ingressClasses)}; gateway classes: ${list(found.gatewayClasses)}`
  return [
    {
      what: 'the cluster',
      result: `Kubernetes ${found.version}, ${nodes}; ${ways}; storage classes: ${list(found.storageClasses)}`,
      isGood: true,
    },
    {
      what: 'metrics API',
      result: found.hasMetrics ? 'available' : 'missing: the autoscalers stay at their minimum',
      isGood: found.hasMetrics,
    },
  ]
}

/** Runs the loads, one after the other, and records the autoscalers until they have settled. */
async function runLoads({ cluster, deployment, options, stop }: Context, say: (text: string) => void) {
  const recorder = new AutoscalingRecorder(cluster, deployment)
  const done: ClusterLoad[] = []
  const { rps, seconds, shapes, settle } = options
  let autoscalers: ClusterResult['autoscalers']
  try {
    for (const shape of shapes) {
      say(`  ${shape}, up to ${rps} requests/s for ${seconds} s`)
      done.push(await runLoadJob(cluster, deployment, { shape, rps, seconds }, recorder, stop))
    }
    if (settle > 0) say(`  the autoscalers settle for ${settle} s`)
    await pause(settle * 1000, stop)
  } finally {
    autoscalers = await recorder.stop()
  }
  const loads = done.map(({ from, to, summary }): LoadRow => {
    const most = autoscalers.map(one => [one.name, mostReplicas(one, from, to)] as const)
    return {
      shape: summary.shape,
      seconds: summary.seconds,
      targetRps: summary.planned / summary.seconds,
      requests: summary.requests,
      failures: summary.failures,
      samples: summary.samples,
      averageMs: averageMs(summary.routes),
      p95Ms: worstP95(summary.routes),
      lateP95Ms: summary.late_ms.p95,
      recall: summary.detection.recall,
      unjudged: summary.unjudged,
      replicasMost: Object.fromEntries(most),
      ...{ from, to, timeline: thin(summary.timeline, from) },
    }
  })
  const rows = loads.map(
    ({ shape, seconds: duration, requests, failures, unjudged, replicasMost }): Row => ({
      what: `load: ${shape}, ${duration} s`,
      result: `${formatCount(requests)} requests, ${failures} failed, ${unjudged} without a verdict; most replicas: ${Object.entries(
        replicasMost,
      )
        .map(([name, count]) => `${count} of ${name}`)
        .join(', ')}`,
      isGood: failures === 0 && unjudged === 0,
    }),
  )
  return { loads, rows, autoscalers }
}

async function restoreRow({ cluster, deployment, stop }: Context, client: Client): Promise<Row> {
  const { samples, lost, compared, different, afterBackup, backupS, outageS } = await backupAndRestore(
    cluster,
    deployment,
    client,
    stop,
  )
  const kept = `${formatCount(samples)} samples in the backup (${backupS.toFixed(0)} s), ${lost} lost`
  const same = `${compared - different} of ${compared} analyses equal bit for bit`
  return {
    what: 'a backup restored',
    result: `${kept}; ${same}; ${outageS.toFixed(0)} s without service; ${afterBackup} samples after the backup given up`,
    isGood: lost === 0 && different === 0 && compared > 0,
  }
}

/** Returns the CPU request of each workload. */
function cpuRequests(manifests: readonly Manifest[]): Record<string, string> {
  interface Workload {
    readonly template?: {
      readonly spec: {
        readonly containers: readonly { readonly resources?: { readonly requests?: { readonly cpu?: string } } }[]
      }
    }
  }
  const found = manifests.map(({ metadata, spec }) => {
    const containers = (spec as Workload | undefined)?.template?.spec.containers
    return [metadata.name, containers?.[0]?.resources?.requests?.cpu ?? ''] as const
  })
  return Object.fromEntries(found.filter(([, cpu]) => cpu !== ''))
}

/** Writes the figures, the sections of the page and its picture. */
async function writePage(result: ClusterResult, out: string): Promise<void> {
  await mkdir(join(out, 'images'), { recursive: true })
  const isDocs = out === join(ROOT, 'docs')
  await writeFile(isDocs ? RESULT : join(out, 'result.json'), `${JSON.stringify(result)}\n`)
  let page = await readFile(join(ROOT, 'docs', PAGE), 'utf8')
  for (const [name, text] of Object.entries(pageSections(result))) page = replaceSection(page, name, text)
  await writeFile(join(out, PAGE), page)
  if (result.autoscalers.length > 0) await writeFile(join(out, 'images', PICTURE), await drawAutoscaling(result))
  process.stdout.write(`\n${join(out, PAGE)}\n`)
}
