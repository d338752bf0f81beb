import { writeFileSync } from 'node:fs'
import { ALERTMANAGER_OUTPUT, renderAlertmanagerConfig } from './alertmanager-config.ts'
import { OUTPUT, renderPrometheusRules } from './prometheus-rules.ts'

for (const [file, text] of [
  [OUTPUT, renderPrometheusRules()],
  [ALERTMANAGER_OUTPUT, renderAlertmanagerConfig()],
] as const) {
  writeFileSync(file, text)
  process.stdout.write(`${file}\n`)
}
