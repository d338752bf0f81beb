import { expect, test } from 'vitest'
import { files, textOf } from './sources.ts'

const texts = files
  .filter(file => !file.startsWith('test/tidy/'))
  .filter(file => /\.(ts|mjs|json|ya?ml|lua|md|toml|sh|py|html|css)$|^\.|\/run$/.test(file))
  .map(file => ({ file, text: textOf(file) }))

test('no file names the machine that it was written on', () => {
  const pattern = /(?<![\w.@*-])\/(work|root|home\/\w+|Users\/\w+|tmp\/\w+)\//
  expect(texts.filter(({ text }) => pattern.test(text)).map(({ file }) => file)).toEqual([])
})

test('no file names a package registry, and the lock file names no download address', () => {
  const registry = /registry\.(npmjs|yarnpkg)|\bregistry\s*=\s*http|npm\.pkg\.github/
  expect(texts.filter(({ text }) => registry.test(text)).map(({ file }) => file)).toEqual([])
  expect(textOf('pnpm-lock.yaml')).not.toMatch(/https?:|tarball:/)
})

/** Where files name the version of the product: tags of its images, the chart, the changelog. */
const VERSIONS: readonly (readonly [files: RegExp, version: RegExp])[] = [
  [/^(package|packages\/\w+\/package)\.json$/, /^ {2}"version": "(.*)"/gm],
  [/^k8s\/.*\.yaml$/, /name: tidemark-\w+\n(?:.*newName:.*\n)?.*newTag: (.+)$/gm],
  [/^charts\/tidemark\/Chart\.yaml$/, /^(?:version|appVersion): "?([^"\n]+)/gm],
  [/^(docs\/|README|compose).*\.(md|yaml)$/, /tidemark-(?:gateway|analyzer|mqtt):(\d[\w.-]*)/g],
  [/^CHANGELOG\.md$/, /^## (\d+\.\d+\.\d+)/m],
]

test('all files name the same version of the product', () => {
  const { version } = JSON.parse(textOf('package.json'))
  for (const [place, pattern] of VERSIONS) {
    const named = files.filter(file => place.test(file)).flatMap(file => versionsIn(file, pattern))
    expect([...new Set(named)], String(place)).toEqual([version])
  }
})

function versionsIn(file: string, pattern: RegExp): (string | undefined)[] {
  const text = textOf(file)
  return pattern.global ? Array.from(text.matchAll(pattern), match => match[1]) : [pattern.exec(text)?.[1]]
}
