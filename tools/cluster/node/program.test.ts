import { expect, test } from 'vitest'
import { type Place, type Programs, pathInVolume, probeCommand, programOf, relocate } from './program.ts'

const PROGRAMS: Programs = {
  bundles: new Map([['tidemark-gateway:old', '/old/gateway']]),
  bundleOf: service => `/tree/${service}/dist`,
  node: '/bin/node',
  redis: '/bin/redis-server',
  python: '/bin/python3',
  path: '/bin',
}

const HOSTS: Readonly<Record<string, string>> = { redis: '127.77.0.9', gateway: '127.78.0.1' }

const PLACE: Place = {
  podName: 'pod-1',
  address: '127.77.0.3',
  mounts: new Map([
    ['/data', '/pods/1/data'],
    ['/run/secrets/redis', '/pods/1/redis'],
    ['/load', '/pods/1/load'],
  ]),
  resolve: host => HOSTS[host],
}

test('a service runs from its bundle, on the address of its pod, with its settings', () => {
  const env = { REDIS_URL: 'redis://redis:6379', REDIS_PASSWORD_FILE: '/run/secrets/redis/password' }
  const program = programOf(
    { name: 'analyzer', image: 'registry.example.com/tidemark/analyzer:1' },
    env,
    PLACE,
    PROGRAMS,
  )
  expect(program.file).toBe('/bin/node')
  expect(program.args.at(-1)).toBe('/tree/analyzer/dist/main.mjs')
  expect(program.env).toMatchObject({
    METRICS_HOST: '127.77.0.3',
    ANALYZER_ID: 'pod-1',
    REDIS_URL: 'redis://127.77.0.9:6379',
    REDIS_PASSWORD_FILE: '/pods/1/redis/password',
  })
  expect(programOf({ name: 'gateway', image: 'tidemark-gateway:old' }, {}, PLACE, PROGRAMS).args.at(-1)).toBe(
    '/old/gateway/main.mjs',
  )
})

test('a command of a service runs a script of its bundle', () => {
  const command = ['node', '--disable-proto=delete', 'canary.mjs']
  expect(programOf({ name: 'canary', image: 'tidemark-gateway', command }, {}, PLACE, PROGRAMS)).toMatchObject({
    file: 'node',
    args: ['--disable-proto=delete', '/tree/gateway/dist/canary.mjs'],
  })
})

test('the settings of the manifest win over those of the address', () => {
  const program = programOf({ name: 'gateway', image: 'tidemark-gateway' }, { HOST: '::' }, PLACE, PROGRAMS)
  expect(program.env.HOST).toBe('::')
})

test('Redis runs with its arguments, and listens on the address of its pod only', () => {
  const args = ['redis-server', '--dir', '/data', '--aclfile', '/run/secrets/redis/users.acl']
  expect(programOf({ name: 'redis', image: 'redis:7.4-alpine', args }, {}, PLACE, PROGRAMS)).toMatchObject({
    file: '/bin/redis-server',
    args: ['--dir', '/pods/1/data', '--aclfile', '/pods/1/redis/users.acl', '--bind', '127.77.0.3'],
  })
})

test('a command replaces the program of the image', () => {
  const command = ['sh', '-c', 'rm -rf /data/old; redis-cli -u redis://redis:6379 --rdb /data/$(NAME)']
  expect(programOf({ name: 'job', image: 'redis', command }, { NAME: 'x.rdb' }, PLACE, PROGRAMS)).toMatchObject({
    file: 'sh',
    args: ['-c', 'rm -rf /pods/1/data/old; redis-cli -u redis://127.77.0.9:6379 --rdb /pods/1/data/x.rdb'],
  })
})

test('a script that starts Redis gets the address of its pod too', () => {
  const container = {
    name: 'redis',
    image: 'redis',
    command: ['sh', '-c', 'exec "$@"', 'redis'],
    args: ['redis-server'],
  }
  expect(programOf(container, {}, PLACE, PROGRAMS).args.slice(-3)).toEqual(['redis-server', '--bind', '127.77.0.3'])
})

test('Locust finds its files and the Service', () => {
  const args = ['--locustfile=/load/locustfile.py', '--host=http://gateway:8080']
  expect(programOf({ name: 'locust', image: 'locustio/locust:2.32.4', args }, {}, PLACE, PROGRAMS).args).toEqual([
    '-m',
    'locust',
    '--locustfile=/pods/1/load/locustfile.py',
    '--host=http://127.78.0.1:8080',
  ])
})

test('an image without a program cannot start', () => {
  expect(() => programOf({ name: 'a', image: 'nginx:1' }, {}, PLACE, PROGRAMS)).toThrow(
    'no program stands for the image nginx:1',
  )
})

test.each([
  ['a longer path is another one', '/database', '/database'],
  ['so is a path below another', '/var/data', '/var/data'],
  ['a user of a URL is no host', 'redis://gateway:pw@redis:6379', 'redis://gateway:pw@127.77.0.9:6379'],
  ['unknown hosts stay', 'http://example.com/redis', 'http://example.com/redis'],
  ['a word is no host', 'redis', 'redis'],
])('%s: %s', (_, text, expected) => {
  expect(relocate(text, PLACE)).toBe(expected)
})

test('the probes of Redis connect to the address of the pod', () => {
  expect(probeCommand(['redis-cli', '-e', 'ping'], PLACE)).toEqual(['redis-cli', '-h', '127.77.0.3', '-e', 'ping'])
  expect(probeCommand(['cat', '/data/ok'], PLACE)).toEqual(['cat', '/pods/1/data/ok'])
})

test('a file of a volume stays in it', () => {
  expect(pathInVolume('/pods/1/data', 'a/b')).toBe('/pods/1/data/a/b')
  for (const path of ['../x', 'a/../../x', '/etc/x'])
    expect(() => pathInVolume('/pods/1/data', path)).toThrow('leads out')
})
