import { KeyTemplate } from '@tidemark/shared/sample/key-template'
import { expect, test } from 'vitest'
import { labelsOf } from './key-labels.ts'

test.each<[string | undefined, string, Readonly<Record<string, string>>]>([
  [undefined, 'edge-17/cpu/0', { device: 'edge-17', metric: 'cpu/0' }],
  [undefined, 'a%2Fb/c', { device: 'a/b', metric: 'c' }],
  [undefined, 'plain', {}],
  [
    '{measurement}{tags}.{field}',
    'cpu,host=web1.example.org,core=0.usage',
    { measurement: 'cpu', host: 'web1.example.org', core: '0', field: 'usage' },
  ],
  ['{measurement}{tags}.{field}', 'no field', {}],
  [
    '{__name__}{tags}',
    'node_load1,instance=web1:9100,job=node',
    { metric: 'node_load1', instance: 'web1:9100', job: 'node' },
  ],
  ['{metric}{tags}', 'requests,service.name=shop,1st=x', { metric: 'requests', service_name: 'shop', _1st: 'x' }],
  ['{metric}{tags}', 'm,key=x,site=y,__a=z', { metric: 'm', exported_key: 'x', _a: 'z' }],
  ['{metric}{tags}', 'm,a.b=1,a_b=2', { metric: 'm', a_b: '1' }],
])('by the template %s the key %s gets its labels', (template, key, labels) => {
  const options = { template: template === undefined ? undefined : new KeyTemplate(template, []), added: [] }
  const found = labelsOf(key, { ...options, added: [['site', 'lab']] })
  expect(Object.fromEntries(found)).toEqual({ key, site: 'lab', ...labels })
  expect(found.map(([name]) => name)).toEqual(Object.keys({ key, site: 'lab', ...labels }).toSorted())
})
