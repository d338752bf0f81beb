import { join } from 'node:path'
import { eventually } from '@tidemark/testkit/eventually'
import { describe, expect, test } from 'vitest'
import { programsAvailable, runToEnd, startAlertmanager } from './monitoring/programs.ts'
import { ROOT, readFolder, readText } from './monitoring/rules.ts'

const ALERTMANAGER = join(ROOT, 'alertmanager/alertmanager.yml')

describe.runIf(programsAvailable('promtool'))('promtool', () => {
  test('accepts the configuration and its rules', async () => {
    const { code, output } = await runToEnd('promtool', ['check', 'config', join(ROOT, 'prometheus/prometheus.yml')])
    const files = readFolder('prometheus/rules').length
    expect([code, output]).toEqual([0, expect.stringContaining(`${files} rule files found`)])
  })

  test.each(readFolder('prometheus/tests'))('passes the rule tests of $name', async ({ name }) => {
    const { code, output } = await runToEnd('promtool', ['test', 'rules', join(ROOT, 'prometheus/tests', name)])
    expect([code, output]).toEqual([0, expect.stringContaining('SUCCESS')])
  })
})

describe.runIf(programsAvailable('amtool'))('amtool', () => {
  test('accepts the configuration', async () => {
    const { code, output } = await runToEnd('amtool', ['check-config', ALERTMANAGER])
    expect([code, output]).toEqual([0, expect.stringContaining('SUCCESS')])
  })

  test.each([
    ['critical', 'pager'],
    ['warning', 'operators'],
    ['info', 'operators'],
  ])('routes an alert of severity %s to %s', async (severity, receiver) => {
    const labels = ['alertname=BacklogOld', 'namespace=n', `severity=${severity}`]
    const verify = ['routes', 'test', `--config.file=${ALERTMANAGER}`, `--verify.receivers=${receiver}`]
    const { code, output } = await runToEnd('amtool', ['config', ...verify, ...labels])
    expect([code, output]).toEqual([0, expect.stringContaining(receiver)])
    const ofKey = ['alertname=TidemarkAnomaly', 'key=a', `severity=${severity}`]
    expect(await runToEnd('amtool', ['config', ...verify, ...ofKey])).toMatchObject({ code: 0 })
  })
})

describe.runIf(programsAvailable('alertmanager'))('Alertmanager', () => {
  test('suppresses alerts that follow from another one in the same namespace while that one fires', async () => {
    await using alertmanager = await startAlertmanager(readText('alertmanager/alertmanager.yml'))
    const api = `http://${alertmanager.address}/api/v2/alerts`

    async function send(
      alerts: readonly (readonly [alertname: string, severity: string, namespace: string, key?: string])[],
    ) {
      const body = alerts.map(([alertname, severity, namespace, key = '']) => ({
        labels: { alertname, severity, namespace, key },
      }))
      const options = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      expect((await fetch(api, options)).status).toBe(200)
    }
    async function inhibited(): Promise<string[]> {
      const alerts = (await (await fetch(api)).json()) as {
        labels: { alertname: string; severity: string; namespace: string }
        status: { inhibitedBy: string[] }
      }[]
      return alerts
        .filter(({ status }) => status.inhibitedBy.length > 0)
        .map(({ labels: { alertname, severity, namespace } }) => `${alertname} ${severity} ${namespace}`)
        .toSorted()
    }

    await send([
      ['IngestErrors', 'warning', 'a'],
      ['BacklogOld', 'warning', 'a'],
      ['BacklogOld', 'warning', 'b'],
      ['SamplesLost', 'critical', 'a'],
      ['NoSamples', 'warning', 'c'],
      ['AnalyzerDown', 'warning', 'd'],
      ['PartitionsUnowned', 'critical', 'd'],
      ['VerdictsSlow', 'warning', 'e'],
      ['KeyAlertFlood', 'warning', 'e'],
      ['SamplesRejected', 'warning', 'd'],
      ['KeyAlertsFiring', 'warning', 'f'],
      ['KeyAlertCritical', 'critical', 'f'],
      ['FleetStorm', 'critical', 'g'],
      ['TidemarkAnomaly', 'warning', 'g', 'one'],
      ['TidemarkAnomaly', 'warning', 'f', 'one'],
    ])
    await eventually(async () => expect(await inhibited()).toEqual(['KeyAlertsFiring warning f']))

    await send([
      ['RedisDown', 'critical', 'a'],
      ['BacklogOld', 'critical', 'b'],
      ['GatewayGone', 'critical', 'c'],
      ['AnalyzerGone', 'critical', 'd'],
      ['PartitionsUnowned', 'critical', 'e'],
      ['FleetStorm', 'critical', 'e'],
      ['TidemarkAnomaly', 'critical', 'f', 'two'],
      ['TidemarkStorm', 'critical', 'g'],
    ])
    await eventually(async () =>
      expect(await inhibited()).toEqual([
        'AnalyzerDown warning d',
        'BacklogOld warning a',
        'BacklogOld warning b',
        'FleetStorm critical g',
        'IngestErrors warning a',
        'KeyAlertCritical critical f',
        'KeyAlertFlood warning e',
        'KeyAlertsFiring warning f',
        'NoSamples warning c',
        'PartitionsUnowned critical d',
        'VerdictsSlow warning e',
      ]),
    )
  })
})
