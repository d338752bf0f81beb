import { createHash } from 'node:crypto'
import { z } from 'zod'
import { parseJson } from '../../parsing/issues.ts'
import { duration, id, integer, number, pattern, text } from './fields.ts'
import { compileGlob, GlobError } from './glob.ts'
import { mute, nameOf, RuleError, type RuleInput, read, readNewRule } from './rule.ts'

/** Limits on a document: they bound what storing, sending and resolving it costs. */
export const RULES_MAX = 1000
const MUTES_MAX = 1000

/** Who changed something, why and when (Unix milliseconds). */
const changeSchema = z.object({ who: text, why: text, at: z.number() })
export type Change = Readonly<z.infer<typeof changeSchema>>

/** A rule as it was written, and its last change, which made the document's `version`. */
export interface KeptRule {
  readonly rule: RuleInput
  readonly version: number
  readonly changed: Change
}

/** Mutes keys until a time, whichever rule they have: a maintenance window. */
const muteSchema = mute.extend({ id, pattern })
export type MuteInput = z.input<typeof muteSchema>
export type Mute = z.output<typeof muteSchema>

const stormSchema = z.strictObject({ percent: number(1, 100), within: duration, keys_min: integer(2, 1_000_000) })
export type StormInput = z.input<typeof stormSchema>

/** All rules, mutes and storm settings: stored, versioned and distributed as one. */
export interface RuleDocument {
  /** Incremented by each change. */
  readonly version: number
  readonly rules: readonly KeptRule[]
  readonly mutes: readonly MuteInput[]
  readonly storm: StormInput
}

export const EMPTY_DOCUMENT: RuleDocument = {
  version: 0,
  rules: [],
  mutes: [],
  storm: { percent: 20, within: '1m', keys_min: 10 },
}

export const RULE_CHANGE_KINDS = ['rule_put', 'rule_deleted', 'mute_put', 'mute_deleted', 'storm_put'] as const

const ruleChangeSchema = changeSchema.extend({
  /** Of the document that the change made. */
  version: z.int().min(0),
  kind: z.enum(RULE_CHANGE_KINDS),
  /** Of the rule or mute; null for the storm. */
  id: z.string().nullable(),
  /** As it was written; null for a deletion. */
  content: z.unknown(),
})

/** One change of the document. The changes say which samples were scored by which rules. */
export type RuleChange = Readonly<z.infer<typeof ruleChangeSchema>>

/**
 * The stored form of a document: it can be listed and changed. The settings inside are left as they
 * were written: a RuleSet checks them, and reports each fault by its name. Members of a newer
 * version are kept: a change writes the whole document back.
 */
const documentSchema = z.looseObject({
  version: z.int().min(0),
  rules: z.array(
    z
      .looseObject({
        rule: written<RuleInput>(['id', 'pattern']),
        added: z.looseObject({}).optional(),
        version: z.number(),
        changed: changeSchema,
      })
      .transform(({ added, ...kept }) => ({ ...kept, rule: { ...kept.rule, ...added } as RuleInput })),
  ),
  mutes: z.array(written<MuteInput>(['id', 'pattern', 'until', 'who', 'why'])),
  storm: written<StormInput>([]),
})

/** An object with these texts, whatever else it holds. */
function written<T>(texts: readonly string[]) {
  const schema = z.looseObject(Object.fromEntries(texts.map(name => [name, z.string()])))
  return z.custom<T>(value => schema.safeParse(value).success)
}

/**
 * The members of a rule in 0.1.0, which takes no document with any other. Later ones are therefore
 * stored beside their rule, as `added`, where it keeps and ignores them: it uses all other rules.
 */
const FIRST_MEMBERS: ReadonlySet<string> = new Set([
  ...['id', 'pattern', 'detector', 'threshold', 'budget', 'window', 'samples_min', 'direction', 'deviation_min'],
  ...['deviation_min_relative', 'influence', 'level_shift_after', 'alert', 'silent', 'late', 'duplicates', 'mute'],
  'shadow',
])

/** The detectors of 0.1.0. A rule with another one is then one with the z-score. */
const FIRST_DETECTORS: ReadonlySet<unknown> = new Set(['zscore', 'ewma', 'mad', 'range', 'novelty', 'habit'])

function isFirst(name: string, value: unknown): boolean {
  return FIRST_MEMBERS.has(name) && (name !== 'detector' || FIRST_DETECTORS.has(value))
}

/** Returns the stored text of a document, which `parseRuleDocument` parses. */
export function formatRuleDocument(document: RuleDocument): string {
  const rules = document.rules.map(kept => {
    const members = Object.entries(kept.rule)
    const added = members.filter(([name, value]) => !isFirst(name, value))
    if (added.length === 0) return kept
    const first = members.filter(([name, value]) => isFirst(name, value))
    return { ...kept, rule: Object.fromEntries(first), added: Object.fromEntries(added) }
  })
  return JSON.stringify({ ...document, rules })
}

/** Parses a stored document; undefined where the text is garbled. */
export function parseRuleDocument(text: string): RuleDocument | undefined {
  return parseJson(documentSchema, text)
}

/** Returns what identifies a stored document: Redis computes the same. */
export function digestOf(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}

export function parseRuleChange(text: string): RuleChange | undefined {
  return parseJson(ruleChangeSchema, text)
}

export function readMute(input: unknown): Mute {
  return read(muteSchema, input, nameOf(input, 'mute'))
}

export function readStorm(input: unknown): z.output<typeof stormSchema> {
  return read(stormSchema, input, 'storm')
}

/** Returns the document with a rule added or replaced (by its id). */
export function withRule(document: RuleDocument, input: unknown, changed: Change): RuleDocument {
  const { id, pattern } = readNewRule(input)
  const others = document.rules.filter(({ rule }) => rule.id !== id)
  if (others.length >= RULES_MAX) throw limitReached(`rule "${id}"`, `there are already ${RULES_MAX} rules`)
  const version = document.version + 1
  const kept = { rule: input as RuleInput, version, changed: read(changeSchema, changed, 'change') }
  checkMatchingWork(
    nameOf(input, 'rule'),
    { id, pattern },
    document.rules.map(({ rule }) => rule),
    document.mutes,
  )
  return { ...document, version, rules: [...others, kept] }
}

/** Returns the document without a rule; undefined when it has none with this id. */
export function withoutRule(document: RuleDocument, id: string): RuleDocument | undefined {
  const rules = document.rules.filter(({ rule }) => rule.id !== id)
  return rules.length < document.rules.length ? { ...document, version: document.version + 1, rules } : undefined
}

/** Returns the document with a mute added or replaced (by its id). Expired mutes are removed. */
export function withMute(document: RuleDocument, input: unknown, now: number): RuleDocument {
  const { id, pattern } = readMute(input)
  const mutes = document.mutes.filter(mute => mute.id !== id && readMute(mute).until > now)
  if (mutes.length >= MUTES_MAX) throw limitReached(`mute "${id}"`, `there are already ${MUTES_MAX} mutes`)
  checkMatchingWork(
    nameOf(input, 'mute'),
    { id, pattern },
    document.mutes,
    document.rules.map(({ rule }) => rule),
  )
  return { ...document, version: document.version + 1, mutes: [...mutes, input as MuteInput] }
}

/** Returns the document without a mute; undefined when it has none with this id. */
export function withoutMute(document: RuleDocument, id: string): RuleDocument | undefined {
  const mutes = document.mutes.filter(mute => mute.id !== id)
  return mutes.length < document.mutes.length ? { ...document, version: document.version + 1, mutes } : undefined
}

export function withStorm(document: RuleDocument, input: unknown): RuleDocument {
  if (readStorm(input).within === 0) {
    throw new RuleError('storm', [{ field: 'within', detail: 'must be more than 0s' }])
  }
  return { ...document, version: document.version + 1, storm: input as StormInput }
}

/** The most that all patterns may have together of what is costly to match: see `Glob.work`. */
export const MATCHING_WORK_MAX = 50_000

interface Named {
  readonly id: string
  readonly pattern: string
}

/**
 * Refuses a pattern with which matching a key against all patterns would take too long. One that
 * costs no more than the one of its id that it replaces is accepted: stored rules may exceed the
 * limit, and must remain changeable.
 */
function checkMatchingWork(name: string, added: Named, same: readonly Named[], others: readonly Named[]): void {
  const sum = (all: readonly Named[]): number => all.reduce((total, { pattern }) => total + workOf(pattern), 0)
  const work = workOf(added.pattern)
  if (work <= sum(same.filter(({ id }) => id === added.id))) return
  const total = work + sum(same.filter(({ id }) => id !== added.id)) + sum(others)
  if (total <= MATCHING_WORK_MAX) return
  const detail =
    `is too complex: its alternatives have ${work} characters and wildcards together, and all patterns with ? or ` +
    `[...] then have ${total}; the limit is ${MATCHING_WORK_MAX}. Use fewer alternatives in braces, or * instead of ` +
    'many ? and [...]: patterns of literal characters and * do not count'
  throw new RuleError(name, [{ field: 'pattern', detail }])
}

/** A stored pattern that cannot be compiled is reported when the rules are used. */
function workOf(pattern: string): number {
  try {
    return compileGlob(pattern).reduce((sum, { work }) => sum + work, 0)
  } catch (error) {
    if (!(error instanceof GlobError)) throw error
    return 0
  }
}

function limitReached(name: string, detail: string): RuleError {
  return new RuleError(name, [{ field: '', detail }])
}
