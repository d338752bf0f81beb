import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SEVERITIES } from './alert.ts'
import { listGroup, nameGroup } from './group-name.ts'
import { type Groupable, groupAlerts, ONSET_GAP_MS } from './grouping.ts'
import { deviceOf, placesOf } from './place.ts'

const START = Date.UTC(2026, 10, 25, 14, 2, 7)

/** An alert that opened `seconds` after the start. */
function alertOn(key: string | null, seconds = 0, severity: Groupable['severity'] = 'warning'): Groupable {
  return { id: `0-${key ?? 'fleet'}@${seconds}`, key, opened_at: START + seconds * 1000, severity }
}

function namesOf(...alerts: Groupable[]): string[] {
  return groupAlerts(alerts).map(group => nameGroup(group, START))
}

function only<T>(items: readonly T[]): T {
  expect(items).toHaveLength(1)
  return items[0] as T
}

describe('alerts are grouped', () => {
  test('by device, and named by it', () => {
    const metrics = ['cpu', 'fan', 'load', 'rps', 'temp', 'disk/sda/used', 'disk/sdb/used']
    const group = only(groupAlerts(metrics.map((metric, i) => alertOn(`edge-17/${metric}`, 3 * i))))
    expect(nameGroup(group, START)).toBe('7 metrics of edge-17 since 14:02 UTC')
    expect(group).toMatchObject({ by: 'device', device: 'edge-17', prefix: 'edge-17/', keyCount: 7 })
    expect(group).toMatchObject({ since: START, lastOpenedAt: START + 18_000, severity: 'warning' })
    expect(listGroup(group)).toBe('cpu, fan, load, rps, temp, disk/sda/used, disk/sdb/used')
  })

  test.each([
    ['two parts', ['edge-17/cpu', 'edge-17/fan'], '2 metrics of edge-17'],
    ['three parts', ['eu/edge-17/cpu', 'eu/edge-17/fan'], '2 metrics of eu/edge-17'],
    ['a colon', ['edge-17:cpu', 'edge-17:fan'], '2 metrics of edge-17'],
    ['a port in the device', ['10.0.0.5:9100/cpu', '10.0.0.5:9100/fan'], '2 metrics of 10.0.0.5:9100'],
    ['dots', ['site.web1.cpu', 'site.web1.fan'], '2 metrics of site.web1'],
    ['labels', ['cpu_usage{core=0,host=a}', 'mem{host="a"}'], '2 metrics of host=a'],
    ['labels with slashes', ['hits{path="/x",host=a}', 'errors{host=a,path="/y"}'], '2 metrics of host=a'],
    ['a device with slashes', ['a%2Fb/cpu', 'a%2Fb/fan'], '2 metrics of a/b'],
    ['one plain key', ['boiler', 'boiler'], '2 alerts of boiler'],
  ])('by the device in keys with %s', (_, keys, name) => {
    const alerts = keys.map((key, i) => ({ ...alertOn(key), id: `0-${i}` }))
    expect(namesOf(...alerts)).toEqual([`${name} since 14:02 UTC`])
  })

  test('by what is around their devices if each has only one', () => {
    const alerts = [1, 2, 3].map(n => alertOn(`eu/edge-${n}/cpu`, n))
    const [group, ...others] = groupAlerts([...alerts, alertOn('us/edge-9/cpu'), alertOn('us/edge-9/fan')]).reverse()
    expect(group).toMatchObject({ by: 'prefix', prefix: 'eu/', device: null, keyCount: 3 })
    expect(group && nameGroup(group, START)).toBe('3 metrics under eu/ since 14:02 UTC')
    expect(others).toMatchObject([{ by: 'device', device: 'us/edge-9' }])
    const cores = [0, 1].map(core => alertOn(`cpu_usage{core=${core}}`))
    expect(namesOf(...cores)).toEqual(['2 metrics of cpu_usage since 14:02 UTC'])
    const hosts = ['a', 'b'].map(host => alertOn(`cpu_usage{host=${host}}`))
    expect(namesOf(...hosts)).toEqual(['2 metrics under cpu_usage{ since 14:02 UTC'])
  })

  test('by their onset if they share nothing else, and only within seconds of the first', () => {
    const alerts = [alertOn('boiler'), alertOn('pump', 6), alertOn('valve/flow', 12), alertOn('hall/co2', 20)]
    const groups = groupAlerts(alerts)
    expect(groups.map(({ by, alerts }) => [by, ...alerts.map(({ key }) => key)])).toEqual([
      ['onset', 'boiler', 'pump'],
      ['onset', 'valve/flow', 'hall/co2'],
    ])
    expect(nameGroup(groups[0] as (typeof groups)[0], START)).toBe('2 metrics within 6 s since 14:02 UTC')
  })

  test('apart if a device was calm for longer in between', () => {
    const names = namesOf(alertOn('a/x'), alertOn('a/y', 10), alertOn('a/z', 21), alertOn('a/w', 80))
    expect(names).toEqual(['2 metrics of a since 14:02 UTC', 'z of a since 14:02 UTC', 'w of a since 14:03 UTC'])
  })

  test('with the worst severity, and the date if they are old', () => {
    const group = only(groupAlerts([alertOn('a/x', 1, 'critical'), alertOn('a/y', 2, 'info')]))
    expect(group.severity).toBe('critical')
    expect(nameGroup(group, START + 90_000_000)).toBe('2 metrics of a since 14:02 UTC on 2026-11-25')
  })

  test('except storms, which concern the whole fleet', () => {
    const groups = groupAlerts([alertOn(null), alertOn('a', 1), alertOn('b', 1)])
    expect(groups.map(({ by, device }) => [by, device])).toEqual([
      ['key', null],
      ['onset', null],
    ])
  })
})

test('a sentence names ten members and counts the others', () => {
  const group = only(groupAlerts(Array.from({ length: 22 }, (_, i) => alertOn(`a/m${String(i).padStart(2, '0')}`))))
  expect(listGroup(group)).toBe('m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 12 more')
})

test('a group keeps its id when alerts join it, and when the later ones end', () => {
  const first = alertOn('a/x')
  const { id } = only(groupAlerts([first]))
  expect(only(groupAlerts([first, alertOn('a/y', 3)])).id).toBe(id)
  expect(only(groupAlerts([first, alertOn('a/y', 3), alertOn('a/z', 9)])).id).toBe(id)
})

test('strange keys have a place too', () => {
  for (const key of ['', '/', '//', 'a/', '/a', ':', 'a:', '{', 'a{}', '{host=a}', 'a{host=}', '__proto__', '\0a'])
    expect([key, placesOf(key).length > 0]).toEqual([key, true])
  expect(deviceOf('edge-17/"cpu" {é}')).toBe('edge-17')
  expect(placesOf('/'.repeat(200)).length).toBeLessThan(10)
})

const part = fc.constantFrom('a', 'b', 'edge-17', 'cpu', '%2F', '')
const keys = fc.oneof(
  fc.array(part, { minLength: 1, maxLength: 5 }).map(parts => parts.join('/')),
  fc.tuple(part, part).map(([name, host]) => `${name}{host=${host},core=0}`),
  fc.tuple(part, part).map(parts => parts.join(':')),
  fc.string(),
  fc.constant(null),
)
const alerts = fc
  .array(fc.record({ key: keys, seconds: fc.integer({ min: 0, max: 90 }), severity: fc.constantFrom(...SEVERITIES) }), {
    maxLength: 40,
  })
  .map(list => list.map(({ key, seconds, severity }, i) => ({ ...alertOn(key, seconds, severity), id: `0-${i}` })))

describe('of any alerts', () => {
  test('each is in one group, whatever the order', () => {
    fc.assert(
      fc.property(alerts, fc.infiniteStream(fc.nat()), (list, random) => {
        const groups = groupAlerts(list)
        expect(groups.flatMap(one => one.alerts.map(({ id }) => id)).sort()).toEqual(list.map(({ id }) => id).sort())
        const shuffled = list
          .map(alert => ({ alert, at: random.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ alert }) => alert)
        expect(groupAlerts(shuffled)).toEqual(groups)
        expect(new Set(groups.map(({ id }) => id)).size).toBe(groups.length)
      }),
    )
  })

  test('no group has a gap in its onset, and all share what it says', () => {
    fc.assert(
      fc.property(alerts, list => {
        for (const { by, prefix, since, lastOpenedAt, alerts } of groupAlerts(list)) {
          const times = alerts.map(one => one.opened_at)
          expect([times[0], times.at(-1)]).toEqual([since, lastOpenedAt])
          for (const [i, time] of times.slice(1).entries())
            expect(time - (times[i] ?? 0)).toBeLessThanOrEqual(ONSET_GAP_MS)
          if (by === 'onset') expect(lastOpenedAt - since).toBeLessThanOrEqual(ONSET_GAP_MS)
          if (by === 'key') expect(alerts).toHaveLength(1)
          else if (prefix !== null) for (const { key } of alerts) expect(key?.startsWith(prefix)).toBe(true)
        }
      }),
    )
  })
})

test('10,000 firing alerts take little time', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => alertOn(`region-${i % 7}/edge-${i % 3000}/m${i}`, i % 4000))
  groupAlerts(many)
  const times = Array.from({ length: 5 }, () => {
    const begin = process.cpuUsage()
    expect(groupAlerts(many).length).toBeGreaterThan(1)
    return process.cpuUsage(begin).user / 1000
  })
  // A fifth of it on a calm machine.
  expect(Math.min(...times)).toBeLessThan(200)
})
