import assert from 'node:assert/strict'
import type { Commit, KeyUpdate, WindowUpdate } from '@tidemark/shared/store/ports/commit'
import { COMMIT_LISTS, COMMIT_SCALARS } from '@tidemark/shared/store/redis/commit-arguments'
import type { LateJson } from '@tidemark/shared/writing/json-writer'
import fc from 'fast-check'

const text = fc.string({ unit: 'binary', maxLength: 40 }).filter(value => value.isWellFormed())
const count = fc.nat({ max: 2 ** 40 })
const bytes = fc.uint8Array({ maxLength: 100 })
const id = fc.tuple(count, count).map(([ms, sequence]) => `${ms}-${sequence}`)
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 6 })

/** A text in quotes. */
const lateJson = text.map<LateJson>(value => ({
  write(writer) {
    writer.reserve({ text: value.length, numbers: 0, bytes: 2 })
    writer.text(value)
  },
  toString: () => JSON.stringify(value),
}))

const keys = fc.uniqueArray(
  fc.record<KeyUpdate>({
    key: text,
    window: fc.record<WindowUpdate>({ kind: fc.constantFrom('row', 'tail'), bytes, memory: fc.option(bytes) }),
    analysis: fc.option(fc.oneof(text, lateJson)),
  }),
  { selector: ({ key }) => key, maxLength: 12 },
)

const opening = fc.record({
  id: text,
  key: fc.option(text),
  rule: fc.option(text),
  severity: fc.constantFrom('info', 'warning', 'critical'),
  opened_at: count,
  cause: fc.record({ kind: fc.constant('silent'), last_at: count, expected_ms: count }),
})

const end = fc.record({
  resolved_at: count,
  resolve_reason: fc.constantFrom('calm', 'heard'),
  peak: fc.option(
    fc.record({ score: fc.double({ noNaN: true, noDefaultInfinity: true }), value: count, samples: count }),
  ),
})

/** Commits of every shape: neither their entries nor their checkpoints need to fit together. */
export const randomCommit: fc.Arbitrary<Commit> = fc.record<Commit>({
  from: fc.record({ id, offset: count }),
  to: fc.record({ id, offset: count }),
  entries: some(id),
  requiresDrained: fc.boolean(),
  witness: fc.option(fc.record({ id, nonce: text }), { nil: undefined }),
  timeCommits: fc.option(fc.nat(), { nil: undefined }),
  analysed: count,
  dead: count,
  rulesVersion: count,
  keys,
  anomalies: some(text),
  deadLetters: some(fc.record({ id, reason: text, samples: text })),
  verdicts: fc
    .tuple(
      fc.record({
        threshold: fc.double({ min: 0.001, max: 1e4, noNaN: true }),
        windowMin: count,
        analyzedAt: count,
        rulesVersion: count,
      }),
      some(
        fc.record({
          id,
          findings: bytes,
          judged: fc.option(fc.record({ judgements: fc.uint8Array({ minLength: 1, maxLength: 50 }), policies: text })),
          rests: fc.option(fc.uint8Array({ minLength: 1, maxLength: 50 })),
        }),
      ),
    )
    .map(([common, each]) => each.map(one => ({ ...one, ...common }))),
  keepFrom: id,
  alerts: fc.record({
    opened: some(fc.record({ opening, openedBefore: count, notifyAfterMs: count })),
    ended: some(fc.record({ id: text, key: text, cause: fc.constantFrom('anomaly', 'silent'), openedAt: count, end })),
  }),
  timers: some(fc.record({ key: text, at: fc.option(count) })),
  counts: some(fc.record({ name: text, by: fc.integer() })),
  shadowed: some(fc.record({ rule: text, analysis: text })),
  evicted: some(fc.record({ key: text, shadow: text, deletion: text })),
  refused: some(fc.record({ key: text, at: count })),
  aggregates: fc.record({
    states: some(fc.record({ key: text, bytes })),
    writes: some(
      fc.record({ key: text, ring: fc.constantFrom('hours', 'days'), at: count, bytes, isNew: fc.boolean() }),
    ),
  }),
  points: some(text),
})

/** Arguments of commit.lua by the names of their scalars, lists and fields. */
export interface NamedArguments {
  readonly scalars: Readonly<Record<string, Buffer>>
  readonly lists: Readonly<Record<string, readonly Readonly<Record<string, Buffer>>[]>>
}

/** Names the arguments as the protocol's table says. */
export function nameArguments(argv: readonly Buffer[]): NamedArguments {
  let at = 0
  const take = (names: readonly string[]) => {
    at += names.length
    return named(names, argv.slice(at - names.length, at))
  }
  const scalars = take(Object.keys(COMMIT_SCALARS))
  const lists = Object.entries(COMMIT_LISTS).map(([name, { fields }]) => {
    const length = Number(argv[at++])
    return [name, Array.from({ length }, () => take(fields))] as const
  })
  assert.equal(at, argv.length, 'the table leaves no argument over')
  return { scalars, lists: Object.fromEntries(lists) }
}

export function named(names: readonly string[], values: readonly Buffer[]): Record<string, Buffer> {
  assert.equal(values.length, names.length)
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? Buffer.of()]))
}

/** Returns what the arguments carry of a commit, in a form that compares by content. */
export function carriedBy({ scalars, lists }: NamedArguments) {
  const string = (value: Buffer | undefined): string => String(value)
  const number = (value: Buffer | undefined): number => Number(string(value))
  const base64 = (value: Buffer | undefined): string | undefined => value?.toString('base64')
  const listOf = (name: string): readonly Readonly<Record<string, Buffer>>[] => lists[name] ?? []
  const analyses = new Map(listOf('analyses').map(({ key, analysis }) => [string(key), string(analysis)]))
  const memories = new Map(listOf('memories').map(({ key, memory }) => [string(key), base64(memory)]))
  const keysOf = (kind: 'row' | 'tail') =>
    listOf(`${kind}s`).map(({ key, [kind]: window }) => ({
      key: string(key),
      window: { kind, bytes: base64(window), memory: memories.get(string(key)) ?? null },
      analysis: analyses.get(string(key)) ?? null,
    }))
  return {
    token: string(scalars.token),
    from: string(scalars.from_id),
    to: { id: string(scalars.to_id), offset: number(scalars.to_offset) },
    entries: listOf('entries').map(one => string(one.id)),
    requiresDrained: string(scalars.requires_drained) === '1',
    witness: { id: string(scalars.witness_id), nonce: string(scalars.witness_nonce) },
    analysed: number(scalars.analysed),
    dead: number(scalars.dead),
    rulesVersion: number(scalars.rules_version),
    timeCommits: string(scalars.time_commits),
    keys: [...keysOf('row'), ...keysOf('tail')],
    anomalies: listOf('anomalies').map(({ analysis }) => string(analysis)),
    deadLetters: listOf('dead_letters').map(one => ({
      id: string(one.id),
      reason: string(one.reason),
      samples: string(one.samples),
    })),
    verdicts: listOf('verdicts').map(one => ({
      id: string(one.id),
      findings: base64(one.findings),
      threshold: number(scalars.threshold),
      windowMin: number(scalars.window_min),
      analyzedAt: number(scalars.analyzed_at),
      rulesVersion: number(scalars.judged_by_version),
      judged:
        one.judgements?.length === 0 ? null : { judgements: base64(one.judgements), policies: string(one.policies) },
      rests: one.rests?.length === 0 ? null : base64(one.rests),
    })),
    keepFrom: string(scalars.keep_from),
    opened: listOf('opened').map(one => ({
      id: string(one.id),
      opening: JSON.parse(string(one.opening)),
      openedAt: number(one.opened_at),
      openedBefore: number(one.opened_before),
      notifyAfterMs: number(one.notify_after_ms),
      key: string(one.key),
      cause: string(one.cause),
    })),
    ended: listOf('ended').map(one => ({
      id: string(one.id),
      end: JSON.parse(string(one.alert_end)),
      resolvedAt: number(one.resolved_at),
      key: string(one.key),
      cause: string(one.cause),
      openedAt: number(one.opened_at),
    })),
    timers: listOf('timers').map(({ key, at }) => ({ key: string(key), at: at?.length === 0 ? null : number(at) })),
    counts: listOf('counts').map(({ name, by }) => ({ name: string(name), by: number(by) })),
    shadowed: listOf('shadowed').map(({ rule, analysis }) => ({ rule: string(rule), analysis: string(analysis) })),
    evicted: listOf('evicted').map(one => ({
      key: string(one.key),
      shadow: string(one.shadow),
      deletion: string(one.deletion),
    })),
    refused: listOf('refused').map(({ key, at }) => ({ key: string(key), at: number(at) })),
    openBuckets: listOf('open_buckets').map(({ key, bytes }) => [string(key), base64(bytes)]),
    newRings: listOf('new_rings').map(({ ring, key, size }) => [string(ring), string(key), number(size)]),
    hours: listOf('hours_writes').map(one => [string(one.key), number(one.offset), base64(one.records)]),
    days: listOf('days_writes').map(one => [string(one.key), number(one.offset), base64(one.records)]),
  }
}

/** Returns the same of a commit itself. */
export function carriedOf(token: string, commit: Commit): ReturnType<typeof carriedBy> {
  const base64 = (value: Uint8Array): string => Buffer.from(value).toString('base64')
  const keysOf = (kind: 'row' | 'tail') =>
    commit.keys
      .filter(({ window }) => window.kind === kind)
      .map(({ key, window: { bytes, memory }, analysis }) => ({
        key,
        analysis: analysis === null ? null : String(analysis),
        window: { kind, bytes: base64(bytes), memory: memory == null ? null : base64(memory) },
      }))
  const writes = commit.aggregates?.writes ?? []
  const writesTo = (ring: string) =>
    writes.filter(one => one.ring === ring).map(({ key, at, bytes }) => [key, at, base64(bytes)])
  return {
    token,
    from: commit.from.id,
    to: commit.to,
    entries: [...commit.entries],
    requiresDrained: commit.requiresDrained === true,
    witness: commit.witness ?? { id: '', nonce: '' },
    analysed: commit.analysed,
    dead: commit.dead,
    rulesVersion: commit.rulesVersion,
    timeCommits: String(commit.timeCommits ?? ''),
    keys: [...keysOf('row'), ...keysOf('tail')],
    anomalies: [...commit.anomalies],
    deadLetters: [...commit.deadLetters],
    verdicts: commit.verdicts.map(one => ({
      ...one,
      findings: base64(one.findings),
      judged: one.judged && { ...one.judged, judgements: base64(one.judged.judgements) },
      rests: one.rests && base64(one.rests),
    })),
    keepFrom: commit.keepFrom ?? '',
    opened: commit.alerts.opened.map(({ opening, openedBefore, notifyAfterMs }) => ({
      id: opening.id,
      opening: JSON.parse(JSON.stringify(opening)),
      openedAt: opening.opened_at,
      openedBefore,
      notifyAfterMs,
      key: opening.key ?? '',
      cause: opening.cause.kind,
    })),
    ended: commit.alerts.ended.map(one => ({
      ...one,
      end: JSON.parse(JSON.stringify(one.end)),
      resolvedAt: one.end.resolved_at,
    })),
    timers: [...commit.timers],
    counts: [...commit.counts],
    shadowed: [...commit.shadowed],
    evicted: [...(commit.evicted ?? [])],
    refused: [...(commit.refused ?? [])],
    openBuckets: (commit.aggregates?.states ?? []).map(({ key, bytes }) => [key, base64(bytes)]),
    newRings: writes.flatMap(one => (one.isNew ? [[one.ring, one.key, one.ring === 'hours' ? 6480 : 8064]] : [])),
    hours: writesTo('hours'),
    days: writesTo('days'),
  }
}

/** Splits arguments in their wire format, RESP bulk strings. */
export function splitArguments(bytes: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const start = lineEnd + 2
    const end = start + Number(bytes.toString('latin1', at + 1, lineEnd))
    found.push(bytes.subarray(start, end))
    at = end + 2
  }
  return found
}
