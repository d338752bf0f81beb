import { cpus, totalmem } from 'node:os'
import { type Cell, formatMarkdownTable } from '@tidemark/tools/lib/table'
import { SURVIVED } from './loss.ts'
import type { RunOptions, RunResult } from './run.ts'
import { percentile } from './take-over.ts'

interface ReportedRun {
  readonly result: RunResult
  readonly size: Pick<RunOptions, 'keys' | 'partitions' | 'leaseTtlMs' | 'analyzers' | 'gateways'>
}

/** Returns the report: the first run in full, and the losses of each durability level. */
export function formatReport(runs: readonly ReportedRun[]): string {
  const [first] = runs
  if (first === undefined) return ''
  const { result } = first
  const breaches = runs.flatMap(one => one.result.breaches)
  return `${[
    '# A chaos run',
    breaches.length === 0 ? 'No invariant was breached.' : `**${breaches.length} breaches** (see below).`,
    overviewTable(first),
    `## Samples\n\n${samplesTable(result)}`,
    `${result.verdict.alerts} alerts were opened by samples, each once. Each alert that samples or timers resolved was resolved once.`,
    lossSection(result),
    '## Losses by durability level',
    formatMarkdownTable(
      ['level', 'fault', 'times', 'samples lost after 202', 'level promises to survive it'],
      runs.flatMap(one => lossRows(one.result)),
    ),
    `## Faults\n\n${countTable('fault', 'times', [...result.struck].toSorted(byName))}`,
    `## Commit results\n\n${countTable(
      'result',
      'commits',
      [...result.commitOutcomes].toSorted(([, a], [, b]) => b - a),
    )}`,
    ...(breaches.length === 0 ? [] : [`## Breaches\n\n${breaches.map(breach => `- ${breach}`).join('\n')}`]),
  ].join('\n\n')}\n`
}

function overviewTable({ result, size }: ReportedRun): string {
  const { counts, answers, reads, takeOvers, resident, replayed } = result
  const percentiles = (values: Parameters<typeof percentile>[0]): string =>
    `${ms(percentile(values, 0.5))}, ${ms(percentile(values, 0.99))}`
  const leased = percentiles(takeOvers.map(({ leasedMs }) => leasedMs))
  const committed = percentiles(takeOvers.map(({ committedMs }) => committedMs))
  const worst = Math.max(0, ...takeOvers.map(({ leasedMs = 0, dueMs }) => leasedMs / dueMs))
  const [cpu] = cpus()
  const machine =
    `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ` +
    `Node ${process.versions.node}, ${result.redisVersion}`
  const deployment =
    `${size.gateways} gateways, ${size.analyzers} analyzers, ${size.partitions} partitions, ` +
    `lease TTL ${size.leaseTtlMs} ms`
  return formatMarkdownTable(
    ['', ''],
    [
      ['seed', String(result.seed)],
      ['date', new Date().toISOString().slice(0, 10)],
      ['machine', machine],
      ['duration', `${(result.durationMs / 1000).toFixed(0)} s`],
      ['deployment', deployment],
      ['processes killed, frozen, stopped', `${counts.kills}, ${counts.pauses}, ${counts.stops}`],
      ['samples sent, accepted', `${result.sent}, ${result.accepted}, of ${size.keys} keys`],
      ['responses 202, 503, requests cut off', `${answers.ok}, ${answers.unavailable}, ${answers.broken}`],
      ['requests without a response, retried with their Idempotency-Key', String(answers.repeats)],
      ['requests replayed at the end, samples added by that', `${replayed.requests}, ${replayed.added}`],
      ['verdicts read during the faults', `${reads.ok} (${reads.unavailable} responses were 503)`],
      ['rebalance: kill to next lease, p50 and p99', `${leased} (${takeOvers.length} partitions)`],
      ['rebalance: kill to next commit, p50 and p99', committed],
      ['rebalance: slowest lease, as a share of the bound of I9', `${Math.round(100 * worst)} %`],
      ['backlog empty after the last sample', ms(result.healMs)],
      ['maximum memory of a gateway, an analyzer', `${mib(resident.gateway)}, ${mib(resident.analyzer)}`],
    ],
  )
}

function samplesTable({ verdict: { classes } }: RunResult): string {
  return formatMarkdownTable(
    ['class', 'samples'],
    [
      ['ok: accepted, and analysed once and in order', classes.ok],
      ['recovered: the client got no response, but the sample was stored and analysed once', classes.recovered],
      ['of these, stored after newer samples of the key', classes.late],
      ['absent: rejected or without a response, and not stored', classes.absent],
      ['**lost**', classes.lost],
      ['**duplicated**', classes.duplicated],
      ['**out of order**', classes.outOfOrder],
      ['**invented**', classes.invented],
      ['lost by Redis, within what its durability level allows', classes.lostByRedis],
      ['of these, analysed before, and lost together with their verdict', classes.forgotten],
    ],
  )
}

function lossSection({ losses, rolledBack, toldLost }: RunResult): string {
  const { least, most, told: reported, sum, exact, exactSamples } = rolledBack
  return [
    '## Losses by fault',
    'An accepted sample is missing if and only if the harness found it missing in Redis right after the fault.',
    countTable(
      'fault',
      'accepted samples lost',
      losses.map(({ cause, lost }) => [cause, lost]),
    ),
    [
      `Redis lost ${least === most ? least : `${least} to ${most}`} samples in total, with or without a response to their client.`,
      `The analyzers reported ${reported}: for each partition, the highest report of an analyzer. All reports add up to ${sum}.`,
      'No analyzer reported more than what was lost.',
      `Where the owner of a partition had read everything and kept the partition (${exact} times, ${exactSamples} samples`,
      `lost), its report was exact. \`analyzer_samples_lost_total\` is ${toldLost}.`,
    ].join('\n'),
  ].join('\n\n')
}

/** Returns a row for each fault that can lose samples, with all its losses added up. */
function lossRows({ durability, losses }: RunResult): Cell[][] {
  const byCause = [...Map.groupBy(losses, ({ cause }) => cause)].toSorted(byName)
  return byCause.map(([cause, all]) => {
    const lost = all.reduce((sum, one) => sum + one.lost, 0)
    return [`\`${durability}\``, cause, all.length, lost, SURVIVED[durability].includes(cause) ? 'yes' : 'no']
  })
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

function countTable(name: string, count: string, items: readonly (readonly [string, number])[]): string {
  return formatMarkdownTable([name, count], items.length === 0 ? [['none', 0]] : items)
}

function ms(value: number): string {
  return Number.isNaN(value) ? '-' : `${Math.round(value)} ms`
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
