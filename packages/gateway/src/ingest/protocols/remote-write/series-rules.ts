import { FileFault } from '@tidemark/shared/runtime/watched-file'
import type { Labels } from '@tidemark/shared/sample/key-template'
import { z } from 'zod'

/** Of the file of rules. */
export const RULES_BYTES_MAX = 1024 * 1024

const ACTIONS = ['keep', 'drop', 'labelkeep', 'labeldrop', 'counter', 'gauge'] as const

/** Between the values of several source labels, as in Prometheus. */
const SEPARATOR = ';'

const INVALID = Symbol('invalid')

const ruleSchema = z
  .strictObject({
    action: z.enum(ACTIONS, { error: `must be one of ${ACTIONS.join(', ')}` }),
    source_labels: z.array(z.string().min(1)).min(1).optional(),
    separator: z.string().default(SEPARATOR),
    regex: z.string().transform((text, context) => {
      const regex = compile(text)
      if (regex !== INVALID) return regex
      context.addIssue('must be a regular expression')
      return z.NEVER
    }),
  })
  .superRefine(({ action, source_labels }, { addIssue }) => {
    const isOfLabels = action.startsWith('label')
    if (isOfLabels === (source_labels === undefined)) return
    const message = isOfLabels ? `is not for ${action}: its regex is for names` : `must name the labels of ${action}`
    addIssue({ code: 'custom', path: ['source_labels'], message })
  })

type Rule = z.output<typeof ruleSchema>

/** What rules decide about a series. */
export interface SeriesVerdict {
  /** Without those that were dropped. */
  readonly labels: Labels
  /** Undefined where no rule says whether its values are those of a counter. */
  readonly isCounter: boolean | undefined
}

/**
 * Which series of Prometheus are taken in, by rules like those of `write_relabel_configs`. A rule
 * applies if its regex matches the whole of the joined values, or of a label's name.
 */
export class SeriesRules {
  readonly #rules: readonly Rule[]

  constructor(rules: readonly Rule[] = []) {
    this.#rules = rules
  }

  get count(): number {
    return this.#rules.length
  }

  /** Returns undefined for a series that is dropped. */
  apply(given: Labels): SeriesVerdict | undefined {
    let labels = given
    let isCounter: boolean | undefined
    for (const { action, source_labels = [], separator, regex } of this.#rules) {
      if (action === 'labeldrop') labels = labels.filter(([name]) => !regex.test(name))
      else if (action === 'labelkeep') labels = labels.filter(([name]) => regex.test(name))
      else {
        const matches = regex.test(source_labels.map(name => valueIn(labels, name)).join(separator))
        if (matches === (action === 'drop') && (action === 'drop' || action === 'keep')) return undefined
        if (matches && (action === 'counter' || action === 'gauge')) isCounter = action === 'counter'
      }
    }
    return { labels, isCounter }
  }
}

/** Parses a file of rules: an array in JSON. Throws a FileFault. */
export function parseSeriesRules(text: string): SeriesRules {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new FileFault('is not JSON: it must be an array of rules', { cause: error })
  }
  if (!Array.isArray(json)) throw new FileFault('must be an array of rules')
  const rules = json.map((one, index) => {
    const result = ruleSchema.safeParse(one)
    if (result.success) return result.data
    const { path, message } = result.error.issues[0] as z.core.$ZodIssue
    throw new FileFault(`is invalid: rule ${index}${path.length > 0 ? `: ${path.join('.')}` : ''}: ${message}`)
  })
  return new SeriesRules(rules)
}

/** The whole text must match. `(?i)` in front is a flag in RE2, which is none in JavaScript. */
function compile(text: string): RegExp | typeof INVALID {
  const [, flag = '', pattern = ''] = /^(\(\?i\))?(.*)$/s.exec(text) ?? []
  try {
    return new RegExp(`^(?:${pattern})$`, flag === '' ? 's' : 'si')
  } catch {
    return INVALID
  }
}

function valueIn(labels: Labels, wanted: string): string {
  return labels.find(label => label[0] === wanted)?.[1] ?? ''
}
