import { cpus, totalmem } from 'node:os'
import type { RunOptions, RunResult } from './run.ts'
import { percentile } from './take-over.ts'

/** A run in Markdown. */
export function formatReport(
  result: RunResult,
  size: Pick<RunOptions, 'keys' | 'partitions' | 'leaseTtlMs' | 'analyzers' | 'gateways'>,
): string {
  const { verdict, counts, answers, reads, takeOvers, resident, losses, toldLost } = result
  const { classes } = verdict
  const leased = takeOvers.map(({ leasedMs }) => leasedMs)
  const committed = takeOvers.map(({ committedMs }) => committedMs)
  const [cpu] = cpus()
  return `# A chaos run

${result.breaches.length === 0 ? 'No invariant was breached.' : `**${result.breaches.length} breaches** (see below).`}

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
| verdicts read during the faults | ${reads.ok} (${reads.unavailable} answered 503) |
| take-over, from the kill to the next lease, p50 and p99 | ${ms(percentile(leased, 0.5))}, ${ms(percentile(leased, 0.99))} (${takeOvers.length} partitions) |
| take-over, from the kill to the next commit, p50 and p99 | ${ms(percentile(committed, 0.5))}, ${ms(percentile(committed, 0.99))} |
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

## What each loss of Redis took

Every accepted sample that is missing is one that the harness found gone in Redis right after the fault, and the other way round.

| fault | accepted samples gone |
| --- | --- |
${rows(losses.map(({ cause, lost }) => [cause, lost]))}

The services told of it themselves: ${Object.entries(toldLost)
    .map(([metric, value]) => `\`${metric}\` ${value}`)
    .join(', ')}.

## Faults

| fault | times |
| --- | --- |
${rows([...result.struck].toSorted(([a], [b]) => (a < b ? -1 : 1)))}

## What came back to commits

| answer | commits |
| --- | --- |
${rows([...result.commitOutcomes].toSorted(([, a], [, b]) => b - a))}
${result.breaches.length === 0 ? '' : `\n## Breaches\n\n${result.breaches.map(breach => `- ${breach}\n`).join('')}`}`
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
