import { writeFileSync } from 'node:fs'
import * as objects from './operator-objects.ts'

for (const [file, text] of [
  [objects.RULES_OUTPUT, objects.renderPrometheusRules()],
  [objects.ALERTMANAGER_OUTPUT, objects.renderAlertmanagerConfig()],
] as const) {
  writeFileSync(file, text)
  process.stdout.write(`${file}\n`)
}
