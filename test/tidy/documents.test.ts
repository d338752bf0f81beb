import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { files, textOf } from './sources.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const documents = files.filter(file => file.endsWith('.md'))

const COLUMNS_MAX = 100

test('links between documents lead to files that exist', () => {
  const broken = documents.flatMap(file =>
    [...textOf(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map(([, target = '']) => target)
      .filter(target => !existsSync(join(root, dirname(file), target)))
      .map(target => `${file}: ${target}`),
  )
  expect(broken).toEqual([])
})

test('paths that documents name exist', () => {
  const named = /`((?:packages|tools|test|docs|k8s|prometheus|grafana|locust)\/[\w./{},-]*)`/g
  const missing = documents
    .filter(file => file !== 'CHANGELOG.md')
    .flatMap(file =>
      [...textOf(file).matchAll(named)]
        .flatMap(([, path = '']) => expandBraces(path))
        // Made by a run of the load test, and not tracked.
        .filter(path => path !== 'locust/results/')
        .filter(path => !existsSync(join(root, normalize(path))))
        .map(path => `${file}: ${path}`),
    )
  expect(missing).toEqual([])
})

test('lines of documents and comments have at most 100 columns', () => {
  const isExempt = (line: string): boolean => /^\s*\||^ {4}|https?:|^!?\[/.test(line)
  const isComment = (line: string): boolean => /^\s*(\/\/|\*|\/\*|--)/.test(line)
  const long = files.flatMap(file => {
    const isDocument = file.endsWith('.md')
    if (!isDocument && !/\.(ts|mjs|lua)$/.test(file)) return []
    return textOf(file)
      .split('\n')
      .map((line, index) => ({ line, place: `${file}:${index + 1}` }))
      .filter(({ line }) => line.length > COLUMNS_MAX && (isDocument ? !isExempt(line) : isComment(line)))
      .map(({ place }) => place)
  })
  expect(long).toEqual([])
})

test('the README stays short', () => {
  expect(textOf('README.md').split('\n').length).toBeLessThanOrEqual(121)
})

/** `a/{b,c}` as `a/b` and `a/c`. */
function expandBraces(path: string): string[] {
  const [, before = '', choices, after = ''] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path) ?? []
  return choices === undefined ? [path] : choices.split(',').flatMap(choice => expandBraces(before + choice + after))
}
