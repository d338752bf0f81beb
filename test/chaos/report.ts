import { cpus, totalmem } from 'node:os'
import { type Cell, formatMarkdownTable } from '@tidemark/tools/lib/table'
import { SURVIVABLE } from './loss.ts'
import type { RunOptions, RunResult } from './run.ts'
import { percentile } from './takeover.ts'

interface ReportedRun {
  readonly result: RunResult
  readonly size: Pick<RunOptions, 'keys' | 'partitions' | 'leaseTtlMs' | 'analyzers' | 'gateways'>
}

/** Returns the report in Markdown: the first run in full, and the losses of all runs. */
export function formatReport(runs: readonly ReportedRun[]): string {
  const [first] = runs
  if (first === undefined) return ''
  const { result } = first
  const violations = runs.flatMap(one => one.result.violations)
  return `${[
    '# A chaos run',
    violations.length === 0 ? 'No invariant was violated.' : `**${violations.length} violations** (see below).`,
    overviewTable(first),
    `## Samples\n\n${samplesTable(result)}`,
    `${result.verification.alerts} alerts were opened by samples, each once. Each alert that samples or timers resolved was resolved once.`,
    lossSection(result),
    '## What each level of durability lost',
    formatMarkdownTable(
      ['level', 'fault', 'times', 'accepted samples lost', 'guaranteed to survive'],
      runs.flatMap(one => lossRows(one.result)),
    ),
    `## Faults\n\n${countTable('fault', 'times', [...result.injected].toSorted(byName))}`,
    `## Results of commits\n\n${countTable(
      'result',
      'commits',
      [...result.commitResults].toSorted(([, a], [, b]) => b - a),
    )}`,
    ...(violations.length === 0
      ? []
      : [`## Violations\n\n${violations.map(violation => `- ${violation}`).join('\n')}`]),
  ].join('\n\n')}\n`
}

function overviewTable({ result, size }: ReportedRun): string {
  const { counts, responses, reads, takeovers, resident, replayed } = result
  const percentiles = (values: Parameters<typeof percentile>[0]): string =>
    `${ms(percentile(values, 0.5))}, ${ms(percentile(values, 0.99))}`
  const leased = percentiles(takeovers.map(({ leasedMs }) => leasedMs))
  const committed = percentiles(takeovers.map(({ committedMs }) => committedMs))
  const worst = Math.max(0, ...takeovers.map(({ leasedMs = 0, dueMs }) => leasedMs / dueMs))
  const [cpu] = cpus()
  const machine =
    `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ` +
    `Node ${process.versions.node}, ${result.redisVersion}`
  const deployment =
    `${size.gateways} gateways, ${size.analyzers} analyzers, ${size.partitions} partitions, ` +
    `leases of ${size.leaseTtlMs} ms`
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
      ['requests that got 202, 503, no response', `${responses.ok}, ${responses.unavailable}, ${responses.broken}`],
      ['requests retried with an Idempotency-Key because they got no response', String(responses.retries)],
      ['completed requests sent again at the end, samples added by that', `${replayed.requests}, ${replayed.added}`],
      ['verdicts read during the faults', `${reads.ok} (${reads.unavailable} got 503)`],
      ['takeover, from the kill to the next lease, p50 and p99', `${leased} (${takeovers.length} partitions)`],
      ['takeover, from the kill to the next commit, p50 and p99', committed],
      ['takeover, largest share of the allowed time (100 % is the bound of I9)', `${Math.round(100 * worst)} %`],
      ['backlog drained after the last sample', ms(result.drainMs)],
      ['peak memory of a gateway, of an analyzer', `${mib(resident.gateway)}, ${mib(resident.analyzer)}`],
    ],
  )
}

function samplesTable({ verification: { classes } }: RunResult): string {
  return formatMarkdownTable(
    ['class', 'samples'],
    [
      ['ok: accepted and analysed once, in order', classes.ok],
      ['recovered: the client did not know whether it was stored; it was, and was analysed once', classes.recovered],
      ['of these, stored after newer samples of the key', classes.late],
      ['absent: rejected or of unknown outcome, and not stored', classes.absent],
      ['**lost**', classes.lost],
      ['**duplicated**', classes.duplicated],
      ['**out of order**', classes.outOfOrder],
      ['**invented**', classes.invented],
      ['lost by Redis within what its durability allows', classes.lostByRedis],
      ['of these, analysed before; the verdicts were lost too', classes.rolledBack],
    ],
  )
}

function lossSection({ losses, rollback, reportedLost }: RunResult): string {
  const { least, most, reported, sum, exact, exactSamples } = rollback
  return [
    '## What each loss of Redis took',
    'The accepted samples that are missing are exactly those that the harness found missing in Redis right after the fault.',
    countTable(
      'fault',
      'accepted samples lost',
      losses.map(({ cause, lost }) => [cause, lost]),
    ),
    [
      `Redis lost ${least === most ? least : `${least} to ${most}`} of all samples that it had counted as accepted, including those whose`,
      `clients got no response. The analyzers reported ${reported}: for each partition the highest figure of any`,
      `analyzer. The sum of all their figures is ${sum}. No analyzer reported more than was lost. Where the`,
      `owner of a partition had read everything and continued (${exact} times, with ${exactSamples} samples lost), it`,
      `reported exactly that number. \`analyzer_samples_lost_total\` is ${reportedLost}.`,
    ].join('\n'),
  ].join('\n\n')
}

/** Returns a row for each fault that can lose samples, with all its losses added up. */
function lossRows({ durability, losses }: RunResult): Cell[][] {
  const byCause = [...Map.groupBy(losses, ({ cause }) => cause)].toSorted(byName)
  return byCause.map(([cause, all]) => {
    const lost = all.reduce((sum, one) => sum + one.lost, 0)
    return [`\`${durability}\``, cause, all.length, lost, SURVIVABLE[durability].includes(cause) ? 'yes' : 'no']
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
