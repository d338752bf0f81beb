import { writeFileSync } from 'node:fs'
import { OUTPUT, renderPrometheusRules } from './prometheus-rules.ts'

writeFileSync(OUTPUT, renderPrometheusRules())
process.stdout.write(`${OUTPUT}\n`)
