import { expect, test } from 'vitest'
import { type Contents, environmentOf, expand, filesOf, type Pod, type Sources } from './pod.ts'

const CONTENTS: Readonly<Record<string, Record<string, string>>> = {
  settings: { PARTITIONS: '16', LOG_LEVEL: 'info' },
  redis: { REDIS_URL: 'redis://redis:6379', password: 'secret' },
}

const contents = (name: string): Promise<Contents> => {
  const found = CONTENTS[name]
  const entries = found && Object.entries(found).map(([key, value]) => [key, Buffer.from(value)] as const)
  return Promise.resolve(entries && new Map(entries))
}
const SOURCES: Sources = { secret: contents, configMap: contents }

const POD: Pod = {
  metadata: { name: 'gateway-1', namespace: 'highload', uid: 'u' },
  spec: { nodeName: 'node-1', containers: [] },
}

test('the environment has ConfigMaps, Secrets, fields of the pod, and what refers to them', async () => {
  const env = await environmentOf(
    POD,
    {
      name: 'a',
      image: 'a',
      envFrom: [{ configMapRef: { name: 'settings' } }, { configMapRef: { name: 'none', optional: true } }],
      env: [
        { name: 'LOG_LEVEL', value: 'warn' },
        { name: 'REDIS_URL', valueFrom: { secretKeyRef: { name: 'redis', key: 'REDIS_URL' } } },
        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'AT', value: '$(NODE)/$(IP)/$(NONE)' },
      ],
    },
    SOURCES,
    '198.51.100.1',
  )
  expect(env).toEqual({
    PARTITIONS: '16',
    LOG_LEVEL: 'warn',
    REDIS_URL: 'redis://redis:6379',
    NODE: 'node-1',
    IP: '198.51.100.1',
    AT: 'node-1/198.51.100.1/$(NONE)',
  })
})

test('a container without its Secret cannot be configured', async () => {
  const env = [{ name: 'A', valueFrom: { secretKeyRef: { name: 'none', key: 'a' } } }]
  await expect(environmentOf(POD, { name: 'a', image: 'a', env }, SOURCES, '')).rejects.toMatchObject({
    reason: 'CreateContainerConfigError',
    message: 'secret "none" not found',
  })
  const noKey = [{ name: 'A', valueFrom: { secretKeyRef: { name: 'redis', key: 'a' } } }]
  await expect(environmentOf(POD, { name: 'a', image: 'a', env: noKey }, SOURCES, '')).rejects.toThrow(
    'redis has no key a',
  )
})

test('$$ is a dollar sign', () => {
  expect(expand('$$(A) $(A)', { A: '1' })).toBe('$(A) 1')
})

test('a volume has the files of its sources, under the paths that it gives them', async () => {
  const files = await filesOf(
    {
      name: 'v',
      projected: {
        sources: [
          { secret: { name: 'redis', items: [{ key: 'password', path: 'own/password' }] } },
          { secret: { name: 'none', optional: true } },
          { configMap: { name: 'settings' } },
        ],
      },
    },
    SOURCES,
  )
  expect([...(files?.keys() ?? [])]).toEqual(['own/password', 'PARTITIONS', 'LOG_LEVEL'])
  expect(await filesOf({ name: 'v', emptyDir: {} }, SOURCES)).toBeUndefined()
  await expect(filesOf({ name: 'v', secret: { secretName: 'none' } }, SOURCES)).rejects.toThrow('none not found')
})
