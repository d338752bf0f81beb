import { parse, stringify } from 'yaml'
import { compressed, shortened } from './promql.ts'
import { type RuleFile, readRuleFiles, readText } from './rules.ts'

// The project's configuration with all times divided by a factor, so that a test takes a minute
// instead of half an hour. Scrape and evaluation intervals, ranges, `for` and Alertmanager's delays
// shrink together: a rate covers as many scrapes, and an alert takes as many evaluations.

export interface Deployment {
  /** Addresses to scrape, by job. */
  readonly targets: Readonly<Record<string, readonly string[]>>
  readonly alertmanager: string
  /** The folder of the rule files. */
  readonly rulesFolder: string
}

export function compressedPrometheus({ targets, alertmanager, rulesFolder }: Deployment, factor: number): string {
  const config = parse(readText('prometheus/prometheus.yml'), { merge: true })
  for (const name of ['scrape_interval', 'scrape_timeout', 'evaluation_interval']) {
    config.global[name] = shortened(config.global[name], factor)
  }
  config.rule_files = [`${rulesFolder}/*.yaml`]
  config.alerting.alertmanagers = [{ static_configs: [{ targets: [alertmanager] }] }]
  for (const scrape of config.scrape_configs) {
    delete scrape.dns_sd_configs
    scrape.static_configs = [{ targets: targets[scrape.job_name] ?? [] }]
  }
  return stringify(config)
}

/** Returns the name and text of each rule file. */
export function compressedRules(factor: number): { readonly name: string; readonly text: string }[] {
  return readRuleFiles().map(({ name, groups }: RuleFile) => ({
    name,
    text: stringify({
      groups: groups.map(group => ({
        ...group,
        ...(group.interval === undefined ? {} : { interval: shortened(group.interval, factor) }),
        rules: group.rules.map(rule => ({
          ...rule,
          expr: compressed(rule.expr, factor),
          ...(rule.for === undefined ? {} : { for: shortened(rule.for, factor) }),
        })),
      })),
    }),
  }))
}

interface Route {
  group_wait?: string
  group_interval?: string
  repeat_interval?: string
  routes?: Route[]
}

/** Replaces each receiver by a webhook at its own name under `url`. */
export function compressedAlertmanager(url: string, factor: number): string {
  const config = parse(readText('alertmanager/alertmanager.yml'))
  const shorten = (route: Route): void => {
    for (const name of ['group_wait', 'group_interval', 'repeat_interval'] as const) {
      if (route[name] !== undefined) route[name] = shortened(route[name], factor)
    }
    route.routes?.forEach(shorten)
  }
  shorten(config.route)
  for (const receiver of config.receivers) receiver.webhook_configs = [{ url: `${url}/${receiver.name}` }]
  return stringify(config)
}
