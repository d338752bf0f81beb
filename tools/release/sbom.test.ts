import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../lib/project.ts'
import { createSbom, lockSchema } from './sbom.ts'

const RELEASE = { version: '1.2.3', revision: 'abc', time: '2026-01-01T00:00:00Z' }

const LOCK = {
  importers: {
    'packages/one': { dependencies: { '@x/two': { version: 'link:../two' }, a: { version: '1.0.0(b@2.0.0)' } } },
    'packages/two': { dependencies: { c: { version: '3.0.0' } } },
    test: { dependencies: { never: { version: '9.0.0' } } },
  },
  packages: {
    'a@1.0.0': { resolution: { integrity: `sha512-${Buffer.from('digest').toString('base64')}` } },
    'b@2.0.0': { resolution: {} },
    '@y/d@4.0.0': { resolution: {} },
    'c@3.0.0': { resolution: {} },
    'never@9.0.0': { resolution: {} },
  },
  snapshots: {
    'a@1.0.0(b@2.0.0)': { dependencies: { b: '2.0.0', alias: '@y/d@4.0.0' } },
    'b@2.0.0': { dependencies: { a: '1.0.0(b@2.0.0)' } },
    '@y/d@4.0.0': {},
    'c@3.0.0': {},
    'never@9.0.0': {},
  },
}

test('lists what the deployed workspaces need, directly or not, and nothing else', () => {
  const sbom = createSbom(lockSchema.parse(LOCK), { ...RELEASE, roots: ['packages/one'] })
  expect(sbom.components.map(({ purl }) => purl)).toEqual([
    'pkg:npm/%40y/d@4.0.0',
    'pkg:npm/a@1.0.0',
    'pkg:npm/b@2.0.0',
    'pkg:npm/c@3.0.0',
  ])
  expect(sbom.components[1]).toMatchObject({
    hashes: [{ alg: 'SHA-512', content: Buffer.from('digest').toString('hex') }],
  })
  expect(sbom.dependencies.find(({ ref }) => ref === 'pkg:npm/a@1.0.0')?.dependsOn).toEqual([
    'pkg:npm/%40y/d@4.0.0',
    'pkg:npm/b@2.0.0',
  ])
  expect(sbom.metadata.component).toMatchObject({ version: '1.2.3', properties: [{ value: 'abc' }] })
})

test('of this project, each component is in the lock file with a hash, and no test tool is among them', async () => {
  const lock = lockSchema.parse(parse(await readFile(join(ROOT, 'pnpm-lock.yaml'), 'utf8')))
  const roots = ['packages/gateway', 'packages/analyzer', 'packages/mqtt']
  const { components, serialNumber } = createSbom(lock, { ...RELEASE, roots })
  const names = components.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(['hono', 'ioredis', 'mqtt', 'pino', 'prom-client', 'zod']))
  expect(names.filter(name => /vitest|biome|fast-check|testcontainers|^@tidemark/.test(name))).toEqual([])
  expect(components.filter(({ hashes }) => hashes?.length !== 1)).toEqual([])
  expect(serialNumber).toMatch(/^urn:uuid:[\da-f]{8}-[\da-f]{4}-5[\da-f]{3}-8[\da-f]{3}-[\da-f]{12}$/)
})
