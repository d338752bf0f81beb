import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { OUTPUT, renderPrometheusRules } from './prometheus-rules.ts'

test('the rules in k8s/ are those of prometheus/ (npm run manifests updates them)', () => {
  expect(readFileSync(OUTPUT, 'utf8')).toBe(renderPrometheusRules())
})
