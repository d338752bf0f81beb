import { expect, test } from 'vitest'
import { parsePublished } from './options.ts'
import { readyTargets } from './services.ts'

const SLICE = {
  metadata: { name: 'gateway-1', namespace: 'highload', labels: { 'kubernetes.io/service-name': 'gateway' } },
  ports: [{ name: 'http', port: 8080 }],
  endpoints: [
    { addresses: ['198.51.100.1'], conditions: { ready: true } },
    { addresses: ['198.51.100.2'], conditions: { ready: false } },
    { addresses: ['198.51.100.3'] },
    { addresses: ['192.0.2.1'] },
  ],
}

test('connections go to the ready pods of the Service on this computer', () => {
  expect(readyTargets([SLICE], 'highload', 'gateway', 'http')).toEqual([
    { host: '127.77.0.1', port: 8080 },
    { host: '127.77.0.3', port: 8080 },
  ])
  expect(readyTargets([SLICE], 'highload', 'gateway', 'other')).toEqual([])
  expect(readyTargets([SLICE], 'other', 'gateway', 'http')).toEqual([])
})

test.each([
  ['gateway=18080', { namespace: 'highload', name: 'gateway', port: 18080 }],
  ['monitoring/grafana=3000', { namespace: 'monitoring', name: 'grafana', port: 3000 }],
  ['gateway', undefined],
  ['gateway=99999', undefined],
])('--publish %s', (text, expected) => {
  expect(parsePublished(text)).toEqual(expected)
})
