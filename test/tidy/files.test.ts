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

test('every package with a version has that of the product', () => {
  const versionOf = (file: string): unknown => JSON.parse(textOf(file)).version
  const manifests = files.filter(file => /^packages\/\w+\/package\.json$/.test(file))
  const versions = manifests
    .map(file => [file, versionOf(file)] as const)
    .filter(([, version]) => version !== undefined)
  expect(versions.length).toBeGreaterThan(1)
  for (const [file, version] of versions) expect(version, file).toBe(versionOf('package.json'))
})
