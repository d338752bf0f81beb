import { describe, expect, test } from 'vitest'
import { files, textOf } from './sources.ts'
import { oldWordsIn } from './words.ts'

const written = files.filter(
  file => !file.startsWith('test/tidy/words') && /\.(ts|mjs|lua|py|md|ya?ml|json|sh)$|^\.env\.example$/.test(file),
)

describe('words', () => {
  test('what people read has the terms of the glossary, not the old words', () => {
    const hits = written
      .filter(file => file !== 'pnpm-lock.yaml')
      .flatMap(file => oldWordsIn(file, textOf(file)))
      .map(({ file, line, text, use }) => `${file}:${line}: "${text.slice(0, 90)}": use ${use}`)
    expect(hits).toEqual([])
  })

  test('an old word in a comment, a message or a document is found', () => {
    expect(oldWordsIn('a.ts', "// Nobody waits.\nlog.warn('it was told')")).toHaveLength(2)
    expect(oldWordsIn('a.md', 'A fail-over loses entries.')).toHaveLength(1)
  })

  test('names of the API, of stored fields and of code are not prose', () => {
    expect(oldWordsIn('a.ts', "const told = read('told', `told_at`)\n/** `told` counts. */")).toEqual([])
    expect(oldWordsIn('a.md', 'The member `told` counts.\n\n    {"told":1}\n')).toEqual([])
  })
})
