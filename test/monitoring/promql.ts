import { parser } from '@prometheus-io/lezer-promql'

type SyntaxNode = ReturnType<typeof parser.parse>['topNode']

/** A metric as an expression selects it. */
export interface Selector {
  readonly metric: string
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[]
  /** As in `[5m]`; undefined for an instant vector. */
  readonly range?: string
}

const COMPARISONS = new Set(['Gtr', 'Lss', 'Gte', 'Lte', 'Eql', 'Neq'])
const DURATIONS = new Set(['NumberDurationLiteralInDurationContext'])
const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** Parses an expression; throws if it is not PromQL. */
function parse(expression: string): SyntaxNode {
  const tree = parser.parse(expression)
  for (const node of nodes(tree.topNode)) {
    if (node.type.isError) throw new Error(`no PromQL at character ${node.from}: ${expression}`)
  }
  return tree.topNode
}

function* nodes(top: SyntaxNode): Generator<SyntaxNode> {
  yield top
  for (const child of children(top)) yield* nodes(child)
}

function children(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = []
  for (let child = node.firstChild; child !== null; child = child.nextSibling) found.push(child)
  return found
}

export function selectorsOf(expression: string): Selector[] {
  const textOf = (node: SyntaxNode | null): string => (node === null ? '' : expression.slice(node.from, node.to))
  return [...nodes(parse(expression))]
    .filter(({ name }) => name === 'VectorSelector')
    .map(node => {
      const matchers = [...nodes(node)]
        .filter(({ name }) => name === 'UnquotedLabelMatcher')
        .map(matcher => ({
          label: textOf(matcher.getChild('LabelName')),
          operator: textOf(matcher.getChild('MatchOp')),
          value: textOf(matcher.getChild('StringLiteral')).slice(1, -1),
        }))
      const around = node.parent?.name === 'MatrixSelector' ? node.parent.getChild('DurationExpr') : null
      return {
        metric: textOf(node.getChild('Identifier')),
        matchers,
        ...(around === null ? {} : { range: textOf(around) }),
      }
    })
}

/** Returns the labels of each `by (...)`. */
export function groupings(expression: string): string[][] {
  return [...nodes(parse(expression))]
    .filter(({ name }) => name === 'AggregateExpr')
    .map(node => {
      const labels = node.getChild('AggregateModifier')?.getChild('GroupingLabels')?.getChildren('LabelName') ?? []
      return labels.map(({ from, to }) => expression.slice(from, to))
    })
}

/** Divides every range and offset of an expression by `factor`. */
export function compressed(expression: string, factor: number): string {
  const durations = [...nodes(parse(expression))].filter(({ name }) => DURATIONS.has(name))
  return edited(
    expression,
    durations.map(({ from, to }) => ({ from, to, text: shortened(expression.slice(from, to), factor) })),
  )
}

/** Divides a duration such as `5m` by `factor`. Returns milliseconds. */
export function shortened(duration: string, factor: number): string {
  const parts = [...duration.matchAll(/(\d+)(ms|[smhdw])/g)]
  const total = parts.reduce((sum, [, count = '', unit = '']) => sum + Number(count) * (UNITS_MS[unit] ?? 0), 0)
  return `${Math.ceil(total / factor)}ms`
}

/**
 * Returns the expressions that must have data for an alert to be able to fire. Comparisons become
 * `bool`, so that they have data whether or not the alert fires. The sides of an `unless` are
 * separate expressions.
 */
export function withBoolComparisons(expression: string): string[] {
  const top = parse(expression).firstChild
  if (top?.name === 'BinaryExpr' && top.getChild('Unless') !== null) {
    return [top.firstChild, top.lastChild].flatMap(side =>
      side === null ? [] : withBoolComparisons(expression.slice(side.from, side.to)),
    )
  }
  const comparisons = [...nodes(parse(expression))].filter(
    node =>
      COMPARISONS.has(node.name) && node.parent?.name === 'BinaryExpr' && node.nextSibling?.name !== 'BoolModifier',
  )
  return [
    edited(
      expression,
      comparisons.map(({ to }) => ({ from: to, to, text: ' bool' })),
    ),
  ]
}

/**
 * Replaces recorded names by their expressions, which select at least what their matchers do.
 * Ranges of them become subqueries.
 */
export function inlined(expression: string, recorded: ReadonlyMap<string, string>): string {
  const recordedAs = (selector: SyntaxNode): string | undefined => {
    const name = selector.getChild('Identifier')
    return name === null ? undefined : recorded.get(expression.slice(name.from, name.to))
  }
  const edits = [...nodes(parse(expression))].flatMap(node => {
    const whole =
      node.name === 'VectorSelector' && node.parent?.name !== 'MatrixSelector' ? recordedAs(node) : undefined
    if (whole !== undefined) return [{ from: node.from, to: node.to, text: `(${inlined(whole, recorded)})` }]
    const selector = node.name === 'MatrixSelector' ? node.getChild('VectorSelector') : null
    const ranged = selector === null ? undefined : recordedAs(selector)
    if (ranged === undefined) return []
    const inner = inlined(ranged, recorded)
    const range = node.getChild('DurationExpr')
    const text = `(${inner})[${range === null ? '' : expression.slice(range.from, range.to)}:]`
    return [{ from: node.from, to: node.to, text }]
  })
  return edited(expression, edits).replaceAll(/\s+/g, ' ')
}

interface Edit {
  readonly from: number
  readonly to: number
  readonly text: string
}

function edited(text: string, edits: readonly Edit[]): string {
  return edits
    .toSorted((a, b) => b.from - a.from)
    .reduce((changed, { from, to, text: part }) => changed.slice(0, from) + part + changed.slice(to), text)
}
