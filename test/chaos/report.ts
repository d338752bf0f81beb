import { cpus, totalmem } from 'node:os'
import { SURVIVED } from './loss.ts'
import type { RunOptions, RunResult } from './run.ts'
import { percentile } from './take-over.ts'

interface ReportedRun {
  readonly result: RunResult
  readonly size: Pick<RunOptions, 'keys' | 'partitions' | 'leaseTtlMs' | 'analyzers' | 'gateways'>
}

/** Runs in Markdown: the first in full, and of all of them what each level of durability lost. */
export function formatReport(runs: readonly ReportedRun[]): string {
  const [first] = runs
  if (first === undefined) return ''
  const { result, size } = first
  const breaches = runs.flatMap(one => one.result.breaches)
  const { verdict, counts, answers, reads, takeOvers, resident, losses, toldLost, rolledBack, replayed } = result
  const { classes } = verdict
  const leased = takeOvers.map(({ leasedMs }) => leasedMs)
  const committed = takeOvers.map(({ committedMs }) => committedMs)
  const [cpu] = cpus()
  return `# A chaos run

${breaches.length === 0 ? 'No invariant was breached.' : `**${breaches.length} breaches** (see below).`}

| | |
| --- | --- |
| seed | ${result.seed} |
| date | ${new Date().toISOString().slice(0, 10)} |
| machine | ${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${result.redisVersion} |
| duration | ${(result.durationMs / 1000).toFixed(0)} s |
| deployment | ${size.gateways} gateways, ${size.analyzers} analyzers, ${size.partitions} partitions, leases of ${size.leaseTtlMs} ms |
| processes killed, frozen, stopped | ${counts.kills}, ${counts.pauses}, ${counts.stops} |
| samples sent, accepted | ${result.sent}, ${result.accepted}, of ${size.keys} keys |
| requests answered 202, 503, broken off | ${answers.ok}, ${answers.unavailable}, ${answers.broken} |
| requests sent again by their clients with an Idempotency-Key, for want of an answer | ${answers.repeats} |
| answered requests sent again at the end, samples added by that | ${replayed.requests}, ${replayed.added} |
| verdicts read during the faults | ${reads.ok} (${reads.unavailable} answered 503) |
| take-over, from the kill to the next lease, p50 and p99 | ${ms(percentile(leased, 0.5))}, ${ms(percentile(leased, 0.99))} (${takeOvers.length} partitions) |
| take-over, from the kill to the next commit, p50 and p99 | ${ms(percentile(committed, 0.5))}, ${ms(percentile(committed, 0.99))} |
| take-over, the most of its time that one took (100 % is the bound of I9) | ${Math.round(100 * Math.max(0, ...takeOvers.map(({ leasedMs = 0, dueMs }) => leasedMs / dueMs)))} % |
| backlog gone after the last sample | ${ms(result.healMs)} |
| most memory of a gateway, of an analyzer | ${mib(resident.gateway)}, ${mib(resident.analyzer)} |

## Samples

| class | samples |
| --- | --- |
| ok: accepted and analysed once, in order | ${classes.ok} |
| recovered: nobody knew whether it was stored, and it was, and was analysed once | ${classes.recovered} |
| of these, stored after newer samples of the key | ${classes.late} |
| absent: refused or unknown, and not stored | ${classes.absent} |
| **lost** | ${classes.lost} |
| **duplicated** | ${classes.duplicated} |
| **out of order** | ${classes.outOfOrder} |
| **invented** | ${classes.invented} |
| lost by Redis within what its durability allows | ${classes.lostByRedis} |
| of these, analysed before, verdict and all gone with it | ${classes.forgotten} |

${result.verdict.alerts} alerts were opened by samples, each once; those that samples or time resolved were resolved once.

## What each loss of Redis took

Every accepted sample that is missing is one that the harness found gone in Redis right after the fault, and the other way round.

| fault | accepted samples gone |
| --- | --- |
${rows(losses.map(({ cause, lost }) => [cause, lost]))}

Of all samples that Redis counted as accepted, whoever knew of them, it forgot ${rolledBack.least === rolledBack.most ? rolledBack.least : `${rolledBack.least} to ${rolledBack.most}`}.
The analyzers told of ${rolledBack.told}: of each partition the figure of the analyzer that says most; the sum of what all of them say is ${rolledBack.sum}.
No analyzer said more than was gone. Where the owner of a partition had read all and went on (${rolledBack.exact} times, with ${rolledBack.exactSamples} samples gone) it said exactly as much. \`analyzer_samples_lost_total\` is ${toldLost}.

## What each level of durability lost

| level | fault | times | samples answered 202 and gone | promised to survive it |
| --- | --- | --- | --- | --- |
${runs.flatMap(one => lossRows(one.result)).join('\n')}

## Faults

| fault | times |
| --- | --- |
${rows([...result.struck].toSorted(([a], [b]) => (a < b ? -1 : 1)))}

## What came back to commits

| answer | commits |
| --- | --- |
${rows([...result.commitOutcomes].toSorted(([, a], [, b]) => b - a))}
${breaches.length === 0 ? '' : `\n## Breaches\n\n${breaches.map(breach => `- ${breach}\n`).join('')}`}`
}

/** Of each fault that can lose something how much that was, all together. */
function lossRows({ durability, losses }: RunResult): string[] {
  const byCause = [...Map.groupBy(losses, ({ cause }) => cause)].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return byCause.map(([cause, all]) => {
    const lost = all.reduce((sum, one) => sum + one.lost, 0)
    const isPromised = SURVIVED[durability].includes(cause)
    return `| \`${durability}\` | ${cause} | ${all.length} | ${lost} | ${isPromised ? 'yes' : 'no'} |`
  })
}

function rows(items: readonly (readonly [string, number])[]): string {
  return items.length === 0 ? '| none | 0 |' : items.map(([name, value]) => `| ${name} | ${value} |`).join('\n')
}

function ms(value: number): string {
  return Number.isNaN(value) ? '-' : `${Math.round(value)} ms`
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
