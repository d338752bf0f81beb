import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MUTANTS } from './mutations.ts'

test.each(MUTANTS)('what the mutant without $name removes is in the code once', ({ file, changes }) => {
  const code = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  for (const { from } of changes) expect(code.split(from)).toHaveLength(2)
})
