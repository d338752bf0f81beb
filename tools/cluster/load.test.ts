import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { jobOf, summaryIn } from './load.ts'
import type { Manifest } from './manifests.ts'

const MARK = '\u001e'

test('the Job of the component gets the load, and a place on a small machine', () => {
  const file = readFileSync(new URL('../../k8s/components/load-test/job.yaml', import.meta.url), 'utf8')
  const job = parseAllDocuments(file)
    .map(document => document.toJS() as Manifest)
    .find(({ kind }) => kind === 'Job') as Manifest
  const made = jobOf(job, 'load-test-ramp', { shape: 'ramp', rps: 200, seconds: 60 })
  expect(made).toMatchObject({ metadata: { name: 'load-test-ramp' } })
  type Job = { spec: { template: { spec: { containers: [{ env: { name: string }[]; resources: object }] } } } }
  const [{ env, resources }] = (made as Job).spec.template.spec.containers
  expect(env).toEqual(
    expect.arrayContaining([
      { name: 'LOAD_SHAPE', value: 'ramp' },
      { name: 'LOAD_RPS', value: '200' },
    ]),
  )
  expect(env.filter(({ name }) => name === 'LOAD_SHAPE')).toHaveLength(1)
  expect(env.some(({ name }) => name === 'TIDEMARK_API_KEY')).toBe(true)
  expect(resources).toMatchObject({ requests: { cpu: '100m' } })
  // The component's own Job stays as it is.
  expect(JSON.stringify(job)).toContain('steady')
})

test('the summary is found among the lines of the load', () => {
  const log = `starting\n${MARK}{"kind":"progress","at":1}\n${MARK}{"kind":"summary","shape":"ramp","requests":7}\n`
  expect(summaryIn(log, 'load')).toMatchObject({ shape: 'ramp', requests: 7 })
  expect(() => summaryIn('Traceback\nImportError\n', 'load')).toThrow('load wrote no summary:\nTraceback')
})
