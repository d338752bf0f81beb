import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { analyzerSettings } from '@tidemark/analyzer/config'
import { configSchema } from '@tidemark/gateway/config'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const files = projectFiles()
const sources = files.filter(file => /^(packages\/[^/]+\/(src|test)|tools|test)\/.*\.ts$/.test(file))
const production = sources.filter(file => !isTest(file) && !file.startsWith('packages/testkit/'))
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8')

/** What a file imports: bare names as they are, the project's own files as paths from the root. */
const importsOf = new Map(sources.map(file => [file, readImports(file)]))

describe('settings', () => {
  const example = readExample(textOf('.env.example'))
  const gateway = describeSettings(configSchema.shape)
  const analyzer = describeSettings(analyzerSettings.shape)

  test('.env.example has every setting of both services with its default, and no others', () => {
    const isShared = (name: string): boolean => gateway.has(name) && analyzer.has(name)
    const expected = [
      ...[...gateway].map(([name, value]) => [isShared(name) ? 'both' : 'gateway', name, value]),
      ...[...analyzer].filter(([name]) => !isShared(name)).map(([name, value]) => ['analyzer', name, value]),
    ]
    const found = example.map(({ section, name, value, isOn }) => [section, name, isOn ? 'required' : value])
    expect(found.toSorted()).toEqual(expected.toSorted())
  })

  test('a setting that both services have has one default', () => {
    for (const [name, value] of gateway) {
      if (analyzer.has(name)) expect([name, analyzer.get(name)]).toEqual([name, value])
    }
  })

  test('.env.example says something about each', () => {
    for (const { name, comment } of example) expect([name, comment]).toEqual([name, expect.stringMatching(/^# .+\.$/)])
  })
})

describe('imports', () => {
  const importersOf = (pattern: RegExp, among = production): string[] =>
    among.filter(file => importsOf.get(file)?.some(name => pattern.test(name)))

  test('gateway and analyzer meet only in Redis, and shared knows neither', () => {
    const wrong = production.filter(file => {
      const home = packageOf(file)
      if (home === undefined) return false
      return importsOf.get(file)?.some(name => {
        const target = packageOf(name)
        return target !== undefined && target !== home && target !== 'shared'
      })
    })
    expect(wrong).toEqual([])
  })

  test('only the Redis store imports a Redis client', () => {
    const isRedisClient = (file: string): boolean => /^(packages\/shared\/src\/store\/redis|tools\/bench)\//.test(file)
    expect(importersOf(/^ioredis/).filter(file => !isRedisClient(file))).toEqual([])
  })

  test('Hono stays with the routes', () => {
    const isHttp = (file: string): boolean =>
      /^(packages\/gateway\/src|tools\/bench\/floors)\//.test(file) || file === 'packages/shared/src/runtime/ops.ts'
    expect(importersOf(/^@?hono(\/|$)/).filter(file => !isHttp(file))).toEqual([])
  })

  test('only what runs as a process touches the process', () => {
    const isProcess = (file: string): boolean =>
      basename(file) === 'main.ts' || file === 'packages/shared/src/runtime/lifecycle.ts' || file.startsWith('tools/')
    const touching = production.filter(file => /(?<![\w.'"`-])process\.[a-z]/.test(withoutComments(textOf(file))))
    expect(touching.filter(file => !isProcess(file))).toEqual([])
  })

  test('nothing that is deployed imports what is for tests', () => {
    expect(importersOf(/(^|\/)testing\/|\.test\.ts$|^vitest/).filter(file => !file.startsWith('tools/'))).toEqual([])
  })

  test('every source file is imported or started by something', () => {
    const imported = new Set([...importsOf.values()].flat())
    // What is started: services, tools, what package.json names, and the programs that the bench starts by name.
    const started = (file: string): boolean =>
      /^tools\/bench\/(floors|load)\//.test(file) ||
      basename(file) === 'main.ts' ||
      textOf('package.json').includes(file)
    expect(sources.filter(file => !isTest(file) && !imported.has(file) && !started(file))).toEqual([])
  })
})

describe('Lua', () => {
  const scripts = files.filter(file => file.endsWith('.lua'))

  test('every script says its purpose, its KEYS, its ARGV and what it returns', () => {
    for (const file of scripts) {
      const header = textOf(file)
        .split('\n')
        .filter(line => line.startsWith('--'))
        .join('\n')
      for (const part of ['Purpose:', 'KEYS:', 'ARGV:', 'Returns:']) {
        expect([file, header]).toEqual([file, expect.stringContaining(`-- ${part}`)])
      }
    }
  })

  test('every script is loaded by somebody', () => {
    const code = production.map(textOf).join('\n')
    const nameInCode = (file: string): string =>
      basename(file, '.lua').replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
    const isLoaded = (file: string): boolean =>
      new RegExp(`\\b${nameInCode(file)}\\b|readScript\\('${basename(file, '.lua')}'\\)`).test(code)
    expect(scripts.filter(file => !isLoaded(file))).toEqual([])
  })
})

describe('metrics', () => {
  const metrics = production
    .filter(file => basename(file) === 'metrics.ts')
    .flatMap(file => {
      const found = textOf(file).matchAll(/new (Counter|Gauge|Histogram)\(\s*\{\s*name: '([^']+)'/g)
      return [...found].map(([, type = '', name = '']) => ({ service: packageOf(file) ?? '', type, name }))
    })
  /** Under these names the replaced service's users find their numbers again. */
  const inherited = ['metrics_ingest_total', 'metrics_anomaly_total']

  test('each has its service as prefix, and a name that nothing else has', () => {
    expect(metrics.length).toBeGreaterThan(0)
    const foreign = metrics.filter(({ service, name }) => !name.startsWith(`${service}_`) && !inherited.includes(name))
    expect(foreign).toEqual([])
    expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length)
  })

  test('counters end in total, and what is measured in a unit ends in that base unit', () => {
    const wrong = metrics.filter(({ type, name }) => {
      if (/_(ms|milliseconds|us|minutes|kb|mb|kib|mib|percent)(_|$)/.test(name)) return true
      if (type === 'Counter') return !name.endsWith('_total')
      if (type === 'Histogram') return !/_(seconds|samples|bytes)$/.test(name)
      return name.endsWith('_total')
    })
    expect(wrong).toEqual([])
  })
})

describe('tracked files', () => {
  const texts = files
    .filter(
      file => file !== 'test/tidy.test.ts' && /\.(ts|mjs|json|ya?ml|lua|md|toml|sh|py|html|css)$|^\.|\/run$/.test(file),
    )
    .map(file => ({ file, text: textOf(file) }))

  test('nothing names the machine that it was written on', () => {
    const pattern = /(?<![\w.@*-])\/(work|root|home\/\w+|Users\/\w+|tmp\/\w+)\//
    expect(texts.filter(({ text }) => pattern.test(text)).map(({ file }) => file)).toEqual([])
  })

  test('nothing names a package registry, and the lock file names no download address', () => {
    const registry = /registry\.(npmjs|yarnpkg)|\bregistry\s*=\s*http|npm\.pkg\.github/
    expect(texts.filter(({ text }) => registry.test(text)).map(({ file }) => file)).toEqual([])
    expect(textOf('pnpm-lock.yaml')).not.toMatch(/https?:|tarball:/)
  })
})

/** Tracked files and those that will be; without git, all that is not made by a program. */
function projectFiles(): string[] {
  try {
    const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
    const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return listed.split('\0').filter(file => file !== '' && existsSync(join(root, file)))
  } catch {
    return walk(root).map(file => relative(root, file))
  }
}

function walk(folder: string): string[] {
  const skipped = new Set(['node_modules', '.git', '.tools', '.turbo', 'dist', 'coverage'])
  return readdirSync(folder)
    .filter(name => !skipped.has(name))
    .flatMap(name => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? walk(path) : [path]
    })
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || /^(packages\/[^/]+\/)?test\//.test(file)
}

function packageOf(path: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(path)?.[1]
}

function readImports(file: string): string[] {
  const found = withoutComments(textOf(file)).matchAll(/(?:\bfrom|\bimport|\bimport\(|new URL\()\s*'([^']+)'/g)
  return [...found].map(([, name = '']) => {
    if (name.startsWith('.') || (!name.includes(':') && name.endsWith('.ts')))
      return normalize(join(dirname(file), name))
    const own = /^@tidemark\/([^/]+)\/(.+)$/.exec(name)
    if (own === null) return name
    return own[1] === 'tools' ? `tools/${own[2]}.ts` : `packages/${own[1]}/src/${own[2]}.ts`
  })
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '')
}

interface ExampleSetting {
  readonly section: string
  readonly name: string
  readonly value: string
  /** Not commented out: it has no default, so it must be set. */
  readonly isOn: boolean
  readonly comment: string
}

function readExample(text: string): ExampleSetting[] {
  const settings: ExampleSetting[] = []
  let section = ''
  let comment = ''
  for (const line of text.split('\n')) {
    const heading = /^# --- (\w+) ---$/.exec(line)
    const setting = /^(#?)([A-Z_]+)=(.*)$/.exec(line)
    if (heading !== null) section = heading[1] ?? ''
    else if (setting !== null) {
      const [, mark, name = '', value = ''] = setting
      settings.push({ section, name, value, isOn: mark === '', comment })
      comment = ''
    } else comment = line
  }
  return settings
}

/** Of each setting the default as it is written in an environment: '' when it may be absent, 'required' when not. */
function describeSettings(
  shape: Readonly<Record<string, { safeParse(value: unknown): { success: boolean; data?: unknown } }>>,
): Map<string, string> {
  return new Map(
    Object.entries(shape).map(([name, field]) => {
      const { success, data } = field.safeParse(undefined)
      return [name, success ? String(data ?? '') : 'required']
    }),
  )
}
