import { analyzerSettings } from '@tidemark/analyzer/config'
import { configSchema } from '@tidemark/gateway/config'
import { describe, expect, test } from 'vitest'
import { textOf } from './sources.ts'

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

/**
 * Of each setting the default as it is written in an environment: '' when it may be absent,
 * 'required' when not.
 */
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
