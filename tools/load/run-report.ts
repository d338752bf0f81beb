import { formatCount } from '../lib/format.ts'
import { isBusy, type LoadPicture, type LoadResult } from './load.ts'
import { averageMs, type Detection, type Summary, type Times, worstP95 } from './summary.ts'

/** Markdown of one run, for whoever made it. */
export function runReport(result: LoadResult, command: string): string {
  const { summary, pictures } = result
  const { missed } = summary
  return `${[
    `# Load: ${summary.rps} requests/s, ${summary.shape}, ${summary.seconds} s`,
    `Made by \`${command}\`.`,
    missed.length === 0
      ? '**Every threshold was reached.**'
      : `**Missed:**\n\n${missed.map(sentence => `- ${sentence}`).join('\n')}`,
    loadTable([result]),
    routesTable(summary),
    ...(summary.failed.length === 0 ? [] : [failedTable(summary)]),
    machineSentence(result),
    '## Detection',
    detectionSentence(summary),
    detectionTable(summary),
    anomaliesTable(summary),
    ...pictures.map(pictureLine),
  ].join('\n\n')}\n`
}

/** The table of the replaced service's report. */
export function loadTable(results: readonly LoadResult[]): string {
  return table(
    ['load', 'target RPS', 'RPS', 'requests', 'average', 'p95', 'error rate', 'replicas'],
    results.map(({ summary, analyzers }) => [
      `${summary.shape}, ${summary.seconds} s`,
      formatCount(Math.round(summary.planned / summary.seconds)),
      (summary.requests / summary.seconds).toFixed(1),
      formatCount(summary.requests),
      ms(averageMs(summary.routes)),
      ms(worstP95(summary.routes)),
      percent(summary.error_rate),
      analyzers === undefined ? 'not known' : `1 gateway, ${analyzers} ${analyzers === 1 ? 'analyzer' : 'analyzers'}`,
    ]),
  )
}

export function routesTable({ routes }: Summary): string {
  return table(
    ['route', 'requests', 'failed', 'average', 'p50', 'p95', 'p99', 'max'],
    routes.map(({ name, failures, ms: times }) => [
      `\`${name}\``,
      formatCount(times.count),
      formatCount(failures),
      ...(['average', 'p50', 'p95', 'p99', 'max'] as const).map(which => ms(times[which])),
    ]),
  )
}

function failedTable({ failed }: Summary): string {
  return table(
    ['failure', 'requests'],
    failed.map(({ what, count }) => [what.replaceAll('|', '\\|').replaceAll('\n', ' '), formatCount(count)]),
  )
}

/** What else was going on: latencies of a busy machine are the machine's. */
export function machineSentence({ summary, machine, gatewayP95 }: LoadResult): string {
  const { cpu_s, late_ms, seconds } = summary
  const own = gatewayP95.map(({ route, ms: p95 }) => `${ms(p95)} for \`${route}\``).join(' and ')
  return (
    `All of it ran on one machine of ${machine.cores} cores: services, Redis and load generator. Its load average was ` +
    `${machine.loadBefore.toFixed(1)} before the run and ${machine.loadMax.toFixed(1)} at the most during it. The load generator used ` +
    `${percent(cpu_s / seconds)} of a core; requests left ${ms(late_ms.p50)} (p50), ${ms(late_ms.p95)} (p95) after their time.${
      own === ''
        ? ''
        : ` By the gateway's own clock the p95 was ${own}; the rest is the way there and the load generator's.`
    }${
      isBusy(machine)
        ? ' **Other work was going on before the load began: these latencies are those of a busy machine.**'
        : ''
    }`
  )
}

export function detectionSentence({ detection, unjudged }: Summary): string {
  const { series, verdicts, warming, verdict_ms } = detection
  return (
    `Of ${formatCount(series)} series every verdict was asked for by its receipt: ${formatCount(verdicts)} verdicts, ${formatCount(warming)} samples before ` +
    `the windows were full enough, ${formatCount(unjudged)} without an answer. A verdict was there ${ms(verdict_ms.p50)} (p50), ` +
    `${ms(verdict_ms.p95)} (p95) after its sample's timestamp.`
  )
}

export function detectionTable({ detection, detection_by_signal }: Summary): string {
  const row = (name: string, of: Detection): string[] => [
    name,
    formatCount(of.verdicts),
    formatCount(of.flagged),
    percent(of.precision),
    percent(of.false_positive_rate),
    `${of.found} of ${of.anomalies}`,
    percent(of.recall),
    of.delay_samples.average === null ? '-' : `${of.delay_samples.average.toFixed(1)} samples, ${time(of.delay_ms)}`,
  ]
  return table(
    [
      'signal',
      'verdicts',
      'flagged',
      'precision',
      'normal ones flagged',
      'anomalies found',
      'recall',
      'detection delay',
    ],
    [...detection_by_signal.map(of => row(of.kind, of)), row('**all**', detection)],
  )
}

export function anomaliesTable({ anomalies }: Summary): string {
  return table(
    ['anomaly', 'labelled', 'found'],
    anomalies.map(({ kind, anomalies: count, found }) => [kind, formatCount(count), formatCount(found)]),
  )
}

export function pictureLine({ name, caption }: LoadPicture): string {
  return `![${caption}](${name})`
}

export function percent(share: number | null): string {
  if (share === null) return '-'
  return share === 0 ? '0 %' : `${(share * 100).toFixed(share < 0.001 ? 3 : 1)} %`
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(1)} ms`
}

/** A delay that has a sample's interval in it is better read in seconds. */
function time({ p50, max }: Times): string {
  if (p50 === null || max === null) return '-'
  return max < 1000
    ? `${ms(p50)} (p50), ${ms(max)} (max)`
    : `${(p50 / 1000).toFixed(2)} s (p50), ${(max / 1000).toFixed(1)} s (max)`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows]
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}
