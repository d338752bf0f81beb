import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { analyzerSettings } from '@tidemark/analyzer/config'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { ROOT, readText } from './rules.ts'

interface ComposeService {
  readonly image: string
  readonly profiles?: readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly user?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly mem_limit?: string
  readonly logging?: { readonly options?: Readonly<Record<string, string>> }
  readonly command?: readonly string[]
}

const { services, volumes } = parse(readText('compose.yaml'), { merge: true }) as {
  services: Record<string, ComposeService>
  volumes: Record<string, unknown>
}
const monitoring = Object.entries(services).filter(([, { profiles }]) => profiles?.includes('monitoring'))

describe('every service that keeps running', () => {
  const running = Object.entries(services).filter(([name]) => name !== 'secrets')

  test.each(running)('%s has a memory limit, and its log is rotated', (_, { mem_limit, logging }) => {
    expect(mem_limit).toMatch(/^(\$\{[A-Z_]+:-)?\d+[mg]\}?$/)
    expect(logging?.options).toEqual({ 'max-size': '10m', 'max-file': '5' })
  })

  test('Redis may use 45 % of its memory limit, and its file is rewritten in time', () => {
    const { command = [], mem_limit = '' } = services.redis ?? {}
    const megabytes = (text: string | undefined): number => Number(/(\d+)mb?\}?$/.exec(text ?? '')?.[1])
    const maxmemory = command[command.indexOf('--maxmemory') + 1]
    expect(megabytes(maxmemory)).toBeLessThanOrEqual(0.45 * megabytes(mem_limit))
    expect(command).toContain('--auto-aof-rewrite-percentage')
  })
})

describe("compose.yaml's profile monitoring", () => {
  test('is Prometheus, Alertmanager, Grafana, the canary and the Redis exporter, which do not run without it', () => {
    expect(monitoring.map(([name]) => name).toSorted()).toEqual([
      'alertmanager',
      'canary',
      'grafana',
      'prometheus',
      'redis-exporter',
    ])
    const always = Object.entries(services).filter(([, { profiles }]) => profiles === undefined)
    expect(always.map(([name]) => name).toSorted()).toEqual(['analyzer', 'gateway', 'redis', 'secrets'])
  })

  test.each(monitoring)(
    '%s has a pinned version, a user, no capabilities, and ports on loopback only',
    (_, service) => {
      expect(service.image).toMatch(/^\$\{[A-Z_]+_IMAGE:-([a-z0-9/_]+:v?\d+\.\d+\.\d+|tidemark-gateway)\}$/)
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        user: expect.stringMatching(/^[1-9]\d*:\d+$/),
      })
      for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\$\{[A-Z_]+_PORT:-\d+\}:\d+$/)
    },
  )

  test.each(monitoring)(
    '%s mounts existing files, and those of the project read-only',
    (_, { volumes: mounts = [] }) => {
      for (const mount of mounts) {
        const [source = '', , mode] = mount.split(':')
        if (source.startsWith('.')) expect([existsSync(join(ROOT, source)), mode]).toEqual([true, 'ro'])
        else expect(volumes).toHaveProperty(source)
      }
    },
  )

  test('analyzers send alerts to Alertmanager under the namespace that Prometheus sets', () => {
    const { environment = {} } = services.analyzer ?? {}
    expect(environment.ALERTMANAGER_URLS).toMatch(/\{COMPOSE_PROFILES:\+http:\/\/alertmanager:9093\}/)
    const [, namespace] = /replacement: (\w+)/.exec(readText('prometheus/prometheus.yml')) ?? []
    expect(environment.ALERT_LABELS).toBe(`namespace=${namespace}`)
    const known = Object.keys(analyzerSettings.shape)
    expect(Object.keys(environment).filter(name => !known.includes(name))).toEqual([])
  })

  test('Prometheus scrapes existing services under the job names that the rules use', () => {
    const { scrape_configs } = parse(readText('prometheus/prometheus.yml'), { merge: true })
    const jobs = scrape_configs.map(({ job_name }: { job_name: string }) => job_name)
    expect(jobs).toEqual(['gateway', 'analyzer', 'canary', 'redis-exporter'])
    for (const job of jobs) expect(services).toHaveProperty(job)
    const inRules = ['gateway', 'analyzer', 'canary', 'redis'].flatMap(name => [
      ...readText(`prometheus/rules/${name}.yaml`).matchAll(/job="([^"]+)"/g),
    ])
    // `entry` is of a blackbox exporter outside.
    expect([...new Set(inRules.map(([, job]) => job))].toSorted()).toEqual([...jobs, 'entry'].toSorted())
  })
})
