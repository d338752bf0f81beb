import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@tidemark/testkit/redis-process'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../lib/project.ts'
import type { Pod } from './pod.ts'
import { RunningPod } from './running-pod.ts'

/** Serves on the address in HOST; reports how it ends. */
const SERVER = `
  const server = require('node:http').createServer((request, response) => {
    if (request.url === '/crash') process.exit(3)
    response.statusCode = require('node:fs').existsSync(process.env.READY_FILE) ? 200 : 503
    response.end()
  })
  server.listen(Number(process.env.PORT), process.env.HOST)
  process.on('SIGTERM', () => { console.log('stopping'); process.exit(0) })`

const PORT = await freePort()
const WITHIN = { interval: 50 }

function podOf(spec: Partial<Pod['spec']['containers'][number]> = {}): Pod {
  const container = {
    ...{ name: 'server', image: 'any', command: [process.execPath, '-e', SERVER] },
    ports: [{ name: 'http', containerPort: PORT }],
    env: [
      { name: 'HOST', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'PORT', value: String(PORT) },
      { name: 'READY_FILE', value: '/state/ready' },
    ],
    volumeMounts: [{ name: 'state', mountPath: '/state' }],
    readinessProbe: { httpGet: { port: 'http' }, periodSeconds: 0.05 },
    ...spec,
  }
  const volumes = [{ name: 'state', configMap: { name: 'state' } }]
  return { metadata: { name: 'p', namespace: 'n', uid: 'u' }, spec: { containers: [container], volumes } }
}

async function start(pod: Pod, isReady: () => boolean) {
  const folder = await temporaryFolder('pod-test')
  const own = join(folder.path, 'pod')
  const running = new RunningPod(pod, {
    after: undefined,
    address: { loopback: '127.0.0.1', reported: '127.0.0.1' },
    folder: own,
    hostIp: '127.0.0.1',
    programs: {
      ...{ bundles: new Map(), bundleOf: () => '', node: '', redis: undefined, python: undefined },
      path: process.env.PATH ?? '',
    },
    sources: {
      secret: () => Promise.resolve(undefined),
      configMap: () => Promise.resolve(isReady() ? new Map([['ready', Buffer.from('')]]) : undefined),
    },
    resolve: () => undefined,
    claimFolder: () => Promise.reject(new Error('no claims')),
    onStatus() {},
  })
  const isPodReady = () => running.status().conditions.find(({ type }) => type === 'Ready')?.status
  const container = () => running.status().containerStatuses[0]
  return {
    ...{ running, own, isPodReady, container },
    async [Symbol.asyncDispose]() {
      await running.kill()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('a pod waits for its volumes, becomes ready by its probe, restarts after a crash and stops when asked', async () => {
  let isReady = false
  await using pod = await start(podOf(), () => isReady)
  await expect
    .poll(() => pod.container()?.state, WITHIN)
    .toMatchObject({ waiting: { reason: 'ContainerCreating', message: expect.stringContaining('state not found') } })
  expect(pod.running.status().phase).toBe('Pending')
  isReady = true
  await expect.poll(pod.isPodReady, WITHIN).toBe('True')
  expect(pod.running.measured()).toBeUndefined()
  await pod.running.measure(0)
  await pod.running.measure(1000)
  expect(pod.running.measured()).toMatchObject({ name: 'p', containers: [{ name: 'server' }] })

  await fetch(`http://127.0.0.1:${PORT}/crash`).catch(() => undefined)
  await expect.poll(() => pod.container()?.restartCount, WITHIN).toBe(1)
  expect(pod.container()?.lastState).toMatchObject({ terminated: { exitCode: 3 } })
  await expect.poll(pod.isPodReady, WITHIN).toBe('True')

  const log = pod.running.logFile(undefined) ?? ''
  const stopping = pod.running.terminate(10)
  await expect.poll(() => readFile(log, 'utf8').catch(() => 'stopping'), WITHIN).toContain('stopping')
  await stopping
  expect(existsSync(pod.own)).toBe(false)
})

test('a container that is never alive is restarted', async () => {
  const livenessProbe = { httpGet: { path: '/', port: 1 }, periodSeconds: 0.05, failureThreshold: 2 }
  await using pod = await start(podOf({ livenessProbe }), () => true)
  await expect.poll(() => pod.container()?.restartCount, WITHIN).toBeGreaterThan(0)
  // 143: it was stopped before it could handle the signal.
  expect([0, 143]).toContain(pod.container()?.lastState.terminated?.exitCode)
})
