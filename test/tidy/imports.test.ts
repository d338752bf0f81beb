import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { circlesOf } from './circles.ts'
import { importsOf, isTest, production, sources, textOf, withoutComments, workspaceOf } from './sources.ts'

/**
 * Which workspaces the code of each may import: shared <- testkit <- gateway | analyzer | mqtt <-
 * tools <- test. Clients of the HTTP API share no code with the services.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  client: [],
  console: ['client'],
  shared: [],
  testkit: ['shared'],
  gateway: ['shared', 'testkit', 'client'],
  analyzer: ['shared', 'testkit'],
  mqtt: ['shared', 'testkit', 'client'],
  tools: ['client', 'shared', 'testkit', 'gateway', 'analyzer', 'mqtt'],
  test: ['client', 'shared', 'testkit', 'gateway', 'analyzer', 'mqtt', 'tools'],
}

describe('direction', () => {
  test('workspaces import only those below them', () => {
    const wrong = sources.flatMap(file => {
      const home = workspaceOf(file) ?? ''
      const targets = (importsOf.get(file) ?? []).filter(name => {
        // A folder is read at run time, such as what the build of the console makes.
        if (name.endsWith('/')) return false
        const target = workspaceOf(name)
        return target !== undefined && target !== home && MAY_IMPORT[home]?.includes(target) !== true
      })
      return targets.map(target => `${file} imports ${target}`)
    })
    expect(wrong).toEqual([])
  })

  test('what is deployed imports neither tests nor the testkit', () => {
    const deployed = production.filter(file => file.startsWith('packages/'))
    expect(importersOf(/^packages\/testkit\/|\.test\.ts$|^vitest/, deployed)).toEqual([])
  })

  test('no service is its own client', () => {
    const services = production.filter(file => /^packages\/(gateway|analyzer|shared)\//.test(file))
    expect(importersOf(/^packages\/client\//, services)).toEqual([])
  })
})

describe('circles', () => {
  test('there is none, neither of files nor of folders', () => {
    expect(circlesOf(importsOf)).toEqual([])
  })

  test('two files that import each other are found', () => {
    const imports = new Map([
      ['a/x.ts', ['a/y.ts']],
      ['a/y.ts', ['a/x.ts']],
    ])
    expect(circlesOf(imports)).toEqual([['in a', 'a/x.ts imports a/y.ts', 'a/y.ts imports a/x.ts']])
  })

  test('three folders in a circle are found though no files are in one', () => {
    const imports = new Map([
      ['a/1.ts', ['b/1.ts']],
      ['b/1.ts', []],
      ['b/2.ts', ['c/deep/1.ts']],
      ['c/deep/1.ts', []],
      ['c/2.ts', ['a/2.ts']],
      ['a/2.ts', []],
    ])
    expect(circlesOf(imports).flat()).toContain('c/2.ts imports a/2.ts')
    imports.set('c/2.ts', [])
    expect(circlesOf(imports)).toEqual([])
  })

  test('a file that imports the folder that imports it is found', () => {
    const imports = new Map([
      ['src/metrics.ts', ['src/ingest/batcher.ts']],
      ['src/ingest/batcher.ts', []],
      ['src/ingest/route.ts', ['src/metrics.ts']],
    ])
    expect(circlesOf(imports)).toHaveLength(1)
  })
})

describe('what may be imported where', () => {
  test('only the Redis store and the bench import a Redis client', () => {
    const isRedisClient = (file: string): boolean => /^(packages\/shared\/src\/store\/redis|tools\/bench)\//.test(file)
    expect(importersOf(/^ioredis/).filter(file => !isRedisClient(file))).toEqual([])
  })

  test('the pure core imports no Redis client, no HTTP, no logger and no process', () => {
    const core = production.filter(file => /^packages\/shared\/src\/(sample|verdict|aggregates|detection)\//.test(file))
    expect(core.length).toBeGreaterThan(20)
    expect(importersOf(/^(ioredis|hono|@hono|pino|prom-client|node:(http|net|process|fs|os))/, core)).toEqual([])
  })

  test('the rooms of shared import only downwards', () => {
    const below: Readonly<Record<string, readonly string[]>> = {
      access: ['parsing'],
      sample: ['parsing', 'writing'],
      parsing: [],
      writing: ['parsing'],
      verdict: ['sample', 'parsing', 'writing'],
      aggregates: ['detection'],
      detection: ['sample', 'parsing', 'verdict'],
      runtime: ['sample'],
      store: ['access', 'sample', 'parsing', 'writing', 'verdict', 'aggregates', 'detection', 'runtime'],
      fleet: ['parsing', 'runtime', 'store'],
    }
    const roomOf = (path: string): string | undefined => /^packages\/shared\/src\/([^/]+)\//.exec(path)?.[1]
    const wrong = sources.flatMap(file => {
      const room = roomOf(file)
      if (room === undefined) return []
      const targets = (importsOf.get(file) ?? []).filter(name => {
        const target = roomOf(name)
        return target !== undefined && target !== room && below[room]?.includes(target) !== true
      })
      return targets.map(target => `${file} imports ${target}`)
    })
    expect(wrong).toEqual([])
  })

  test('HTTP stays in the gateway and the ops server', () => {
    const isHttp = (file: string): boolean =>
      /^(packages\/gateway\/src|tools\/bench\/floors)\//.test(file) || file === 'packages/shared/src/runtime/ops.ts'
    expect(importersOf(/^@?hono(\/|$)/).filter(file => !isHttp(file))).toEqual([])
  })

  test('only what runs as a process touches the process', () => {
    const isProcess = (file: string): boolean =>
      /^(main\.tsx?|vite\.config\.ts)$/.test(basename(file)) ||
      file === 'packages/shared/src/runtime/lifecycle.ts' ||
      file.startsWith('tools/')
    const touching = production.filter(file => /(?<![\w.'"`-])process\.[a-z]/.test(withoutComments(textOf(file))))
    expect(touching.filter(file => !isProcess(file))).toEqual([])
  })

  test('every source file is imported or started by something', () => {
    const imported = new Set([...importsOf.values()].flat())
    const manifests = ['package.json', 'tools/package.json', 'test/package.json', 'packages/gateway/package.json']
      .map(textOf)
      .join('')
    // Started: services, tools, what a package.json names, and the programs that the bench starts
    // by name.
    const isStarted = (file: string): boolean =>
      /^tools\/bench\/(floors|load)\//.test(file) ||
      /^(main\.tsx?|vite\.config\.ts)$/.test(basename(file)) ||
      manifests.includes(file)
    expect(sources.filter(file => !isTest(file) && !imported.has(file) && !isStarted(file))).toEqual([])
  })
})

function importersOf(pattern: RegExp, among: readonly string[] = production): string[] {
  return among.filter(file => importsOf.get(file)?.some(name => pattern.test(name)))
}
