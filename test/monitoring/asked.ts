import { filledIn, panelsOf, readDashboards } from './dashboards.ts'
import { compressed, inlined, questioned, selectorsOf, shortened } from './promql.ts'
import { readRuleFiles, recordedExpressions } from './rules.ts'

/** Something that somebody asks Prometheus. */
export interface Question {
  /** The panel or rule. */
  readonly where: string
  readonly expr: string
}

/** What has no data outside of Kubernetes, or where nothing of the kind happens. */
const WITHOUT_DATA: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^kube_/, reason: 'there is no Kubernetes' },
  { pattern: /^analyzer_(notification|outbox)/, reason: 'nobody is to be notified' },
  { pattern: /^analyzer_rule_/, reason: 'there are no rules' },
]

/** All that dashboards and rules ask, and that must have an answer; in compressed time. */
export function allQuestions(factor: number): Question[] {
  const asked = [...panelQuestions(factor), ...ruleQuestions(factor)]
  return [...asked, ...matcherQuestions(asked)]
}

/** What marks the graphs, in compressed time. */
export function annotationQuestions(factor: number): Question[] {
  return readDashboards().flatMap(({ file, annotations }) =>
    annotations.list.flatMap(({ name, expr }) =>
      expr === undefined ? [] : [{ where: `${file}: ${name}`, expr: compressed(filledIn(expr, '5m'), factor) }],
    ),
  )
}

function panelQuestions(factor: number): Question[] {
  return readDashboards()
    .flatMap(dashboard =>
      panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => ({
          where: `${dashboard.file}: ${title}`,
          expr: filledIn(expr, shortened('5m', factor)),
        })),
      ),
    )
    .filter(isToHaveData)
}

/** Of the rules, and once more with what is recorded written out, as Grafana's own alerts ask for it. */
function ruleQuestions(factor: number): Question[] {
  const recorded = recordedExpressions()
  return readRuleFiles()
    .flatMap(({ groups }) => groups.flatMap(({ rules }) => rules))
    .flatMap(({ record, alert, expr }) =>
      [expr, inlined(expr, recorded)]
        .flatMap(questioned)
        .map(question => ({ where: record ?? alert ?? '', expr: compressed(question, factor) })),
    )
    .filter(isToHaveData)
}

/** Each matcher by itself: what `or 0` makes up for when nothing is wrong must be there to be found when something is. */
function matcherQuestions(asked: readonly Question[]): Question[] {
  const found = asked.flatMap(({ where, expr }) =>
    selectorsOf(expr).flatMap(({ metric, matchers }) =>
      matchers
        // Nobody is answered 5xx here.
        .filter(({ label }) => label !== 'status')
        .map(({ label, operator, value }) => [`${metric}{${label}${operator}"${value}"}`, where] as const),
    ),
  )
  return [...new Map(found)].map(([expr, where]) => ({ where, expr }))
}

/** What is recorded has data where what it is made of has some. */
function isToHaveData({ expr }: Question): boolean {
  return !selectorsOf(inlined(expr, recordedExpressions())).some(({ metric }) =>
    WITHOUT_DATA.some(({ pattern }) => pattern.test(metric)),
  )
}
