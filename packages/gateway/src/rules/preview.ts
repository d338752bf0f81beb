import { setImmediate } from 'node:timers/promises'
import { z } from '@hono/zod-openapi'
import { type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { compileGlob } from '@tidemark/shared/detection/rules/glob'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import type { RuleInput } from '@tidemark/shared/detection/rules/rule'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { isOfCounter, toUnixMs } from '@tidemark/shared/sample/arrival'
import { keyFault } from '@tidemark/shared/sample/sample'
import { BODY_PROBLEMS, json, jsonBody } from '../http/documentation.ts'
import { createLimiter } from '../http/limiter.ts'
import { mayUse, requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import { BackTest, type Tested, type TestedSamples } from './back-test.ts'
import { applyTo, writtenMember } from './document.ts'
import { type KeptSamples, readKeptSamples } from './kept-samples.ts'
import { requireOwn, requirePattern } from './own-rules.ts'
import type { RulesOptions } from './rule-sets.ts'
import { checkNewRule, withId } from './rules.ts'
import { previewSchema } from './schemas.ts'
import { policyView } from './view.ts'

/** One takes tens of milliseconds of the event loop, in many short parts. */
const LIMITS = { concurrent: 1, waitingMax: 20 } as const

const SAMPLES_MAX = 100_000
const KEYS_MAX = 200
const KEYS_LISTED = 50
/** Samples of a single key that are listed with their verdicts. */
const SERIES_MAX = 2000

/** Samples that are scored in one turn of the event loop. */
const SAMPLES_AT_ONCE = 5000

/** The id of a rule that is previewed without one. */
const UNNAMED = 'preview'

const bodySchema = z.strictObject({
  rule: writtenMember(input => checkNewRule(withId(input, UNNAMED))).describe(
    'As for `PUT /rules/{id}`, with its id. It replaces the rule of this id; without an id it is a new one.',
  ),
  key: z
    .string('must be a text')
    .superRefine((key, context) => {
      const fault = keyFault(key, Number.POSITIVE_INFINITY)
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
    })
    .optional()
    .describe('Only this key, with the verdict on each sample.'),
  prefix: z
    .string('must be a text')
    .max(1024, 'must be at most 1024 characters')
    .default('')
    .describe('Only keys of the rule that begin with it.'),
  samples_max: z
    .int(`must be an integer from 0 to ${SAMPLES_MAX}`)
    .min(0, `must be an integer from 0 to ${SAMPLES_MAX}`)
    .max(SAMPLES_MAX, `must be an integer from 0 to ${SAMPLES_MAX}`)
    .default(SAMPLES_MAX)
    .describe('The most samples to look through, the newest of each partition. 0 only validates the rule.'),
})

const EXAMPLE = { rule: { id: 'edge-cpu', pattern: 'edge-*/cpu', direction: 'up', deviation_min: 5 } }

const previewRoute = createRoute({
  method: 'post',
  path: '/rules/preview',
  access: 'read',
  ownKeys: true,
  operationId: 'previewRule',
  summary: 'What a rule would flag and alert on, beside the rules in force. It changes nothing',
  description:
    'Validates the rule as `PUT /rules/{id}` does, then scores what is kept of its keys twice: by the rules in force, ' +
    'and by those with this one. Both begin without memory, as for a new key. What is kept are the samples whose ' +
    'verdicts are kept (VERDICTS_KEPT), and the window of each key. A shadow rule is scored as if it were in force. ' +
    `At most ${KEYS_MAX} keys are scored, those with the most samples; ${KEYS_LISTED} are listed, those that differ most ` +
    'first.',
  request: { body: jsonBody(bodySchema, EXAMPLE) },
  responses: { 200: json('The comparison.', previewSchema), ...BODY_PROBLEMS },
})

export function servePreview(router: Router, { services, ruleSets, readFields, metrics, now }: RulesOptions): void {
  const limited = createLimiter({ ...LIMITS, limit: 'rule_previews', metrics })
  serve(router, previewRoute, async c => {
    const caller = callerOf(c)
    const { rule: written, key, prefix, samples_max: samplesMax } = await readFields(c, bodySchema)
    if (key !== undefined) requireKey(caller, key)
    requirePattern(caller, written)
    const { store } = services()
    const { document, set } = await ruleSets(store.rules)
    const rule = withId(written, freeId(document)) as RuleInput
    const before = document.rules.find(kept => kept.rule.id === rule.id)?.rule
    requireOwn(caller, before)
    const changed = { who: caller.name, why: 'preview', at: now() }
    const after = applyTo(document, one => withRule(one, { ...rule, shadow: false }, changed), 'rule.')
    const patterns = [rule.pattern, ...(before === undefined ? [] : [before.pattern])]
    const globs = patterns.flatMap(pattern => compileGlob(pattern))
    const isWanted = (name: string): boolean =>
      name.startsWith(prefix) && mayUse(caller, name) && globs.some(glob => glob.matches(name))
    const preview = await limited(exchangeOf(c).client.pages, async () => {
      const next = ruleSets.compile(after)
      const history = await readKeptSamples(store, { key, isWanted, samplesMax, keysMax: KEYS_MAX, now: now() })
      const policies = (one: KeptSamples) => ({ inForce: policyOf(set, one), preview: policyOf(next, one) })
      const options = { policies, isSingle: key !== undefined, now: now() }
      return { history, tested: await testKeys(history.keys, options), policy: policyIn(next, rule.id) }
    })
    return c.json({
      rules_version: document.version,
      rule,
      policy: policyView(preview.policy, after),
      ...comparisonView(preview),
    })
  })
}

/** Returns an id that no rule has. */
function freeId({ rules }: RuleDocument): string {
  let id = UNNAMED
  while (rules.some(({ rule }) => rule.id === id)) id += '-'
  return id
}

/** Returns the policy of a key. Its newest sample says whether it is a counter. */
function policyOf(set: RuleSet, { key, timestamps }: KeptSamples): Policy {
  const number = set.resolve(key)
  const isCounter = isOfCounter(timestamps.at(-1) as number)
  return set.policies[isCounter ? set.ofCounter(number) : number] as Policy
}

function policyIn(set: RuleSet, rule: string): Policy {
  return set.policies.find(policy => policy.rule === rule) as Policy
}

interface TestOptions {
  readonly policies: (samples: KeptSamples) => { readonly inForce: Policy; readonly preview: Policy }
  /** Whether each sample's verdict is wanted. */
  readonly isSingle: boolean
  readonly now: number
}

interface TestedKey {
  readonly samples: KeptSamples
  readonly inForce: TestedBy
  readonly preview: TestedBy
}

interface TestedBy {
  readonly rule: string | null
  readonly tested: Tested
  readonly each: TestedSamples | undefined
}

/** Scores keys by both policies, with pauses: ingest must not wait for it. */
async function testKeys(
  keys: readonly KeptSamples[],
  { policies, isSingle, now }: TestOptions,
): Promise<readonly TestedKey[]> {
  const backTest = new BackTest()
  const test = (policy: Policy, samples: KeptSamples): TestedBy => {
    const each = isSingle ? { low: [], high: [], flagged: [], opened: [] } : undefined
    return { rule: policy.rule, tested: backTest.run(policy, samples, now, each), each }
  }
  const results: TestedKey[] = []
  let scored = 0
  for (const samples of keys) {
    const { inForce, preview } = policies(samples)
    results.push({ samples, inForce: test(inForce, samples), preview: test(preview, samples) })
    scored += 2 * samples.values.length
    if (scored < SAMPLES_AT_ONCE) continue
    scored = 0
    await setImmediate()
  }
  return results
}

interface Comparison {
  readonly history: { readonly found: number; readonly isCut: boolean }
  readonly tested: readonly TestedKey[]
}

function comparisonView({ history: { found, isCut }, tested }: Comparison) {
  const keys = tested.map(keyView)
  const samples = keys.reduce((sum, key) => sum + key.samples, 0)
  const [single] = tested
  return {
    history: {
      keys: keys.length,
      keys_found: found,
      samples,
      from: keys.length === 0 ? null : Math.min(...keys.map(({ from }) => from)),
      to: keys.length === 0 ? null : Math.max(...keys.map(({ to }) => to)),
      cut: isCut,
    },
    in_force: sumOf(tested.map(({ inForce }) => inForce.tested)),
    preview: sumOf(tested.map(({ preview }) => preview.tested)),
    keys: keys.sort((a, b) => differenceOf(b) - differenceOf(a)).slice(0, KEYS_LISTED),
    series: single === undefined ? null : seriesView(single),
  }
}

function keyView({ samples: { key, timestamps }, inForce, preview }: TestedKey) {
  const times = timestamps.map(toUnixMs)
  return {
    key,
    samples: times.length,
    from: times.reduce((least, time) => Math.min(least, time)),
    to: times.reduce((greatest, time) => Math.max(greatest, time)),
    in_force: { rule: inForce.rule, ...inForce.tested },
    preview: { rule: preview.rule, ...preview.tested },
  }
}

/** How much the result differs: alerts before samples. */
function differenceOf({ in_force: before, preview: after }: ReturnType<typeof keyView>): number {
  const alerts = Math.abs(after.opened - before.opened)
  return alerts > 0 ? 1e6 * alerts : Math.abs(after.flagged - before.flagged) + (after.opened > 0 ? 0.5 : 0)
}

function sumOf(all: readonly Tested[]) {
  const sum = (member: 'scored' | 'flagged' | 'opened'): number => all.reduce((total, one) => total + one[member], 0)
  return { scored: sum('scored'), flagged: sum('flagged'), opened: sum('opened') }
}

/** The newest samples of a single key, with both verdicts on each; null if they are not wanted. */
function seriesView({ samples, inForce, preview }: TestedKey) {
  if (inForce.each === undefined || preview.each === undefined) return null
  const newest = <T>(all: readonly T[]): T[] => all.slice(-SERIES_MAX)
  const view = ({ low, high, flagged, opened }: TestedSamples) => ({
    low: newest(low),
    high: newest(high),
    flagged: newest(flagged),
    opened: newest(opened),
  })
  return {
    timestamps: newest(samples.timestamps).map(toUnixMs),
    values: newest(samples.values),
    in_force: view(inForce.each),
    preview: view(preview.each),
  }
}
