import { expect, test } from 'vitest'
import type { Pod } from './pod.ts'
import { type ContainerState, podStatus } from './status.ts'

const NOW = new Date('2026-11-27T12:00:00Z')
const EARLIER = '2026-11-27T11:00:00.000Z'
const RUNNING: ContainerState = {
  ...{ name: 'a', image: 'a', restarts: 0, isStarted: true, isReady: true },
  ...{ runningSince: NOW, ended: undefined, previous: undefined, waiting: undefined },
}
const ended = (code: number): ContainerState => ({
  ...{ ...RUNNING, isReady: false, runningSince: undefined },
  ended: { code, startedAt: NOW, endedAt: NOW },
})

function statusOf(containers: readonly ContainerState[], pod: Partial<Pod['spec']> = {}, known: Pod['status'] = {}) {
  const spec = { containers: [], ...pod }
  const reported = { podIp: '198.51.100.1', hostIp: '127.0.0.1', startTime: NOW, containers, now: NOW }
  return podStatus({ metadata: { name: 'p' }, spec, status: known }, reported)
}

test('a pod is ready once all of its containers are', () => {
  const status = statusOf([RUNNING, { ...RUNNING, isReady: false }])
  expect(status.phase).toBe('Running')
  expect(status.conditions.find(({ type }) => type === 'Ready')).toMatchObject({ status: 'False' })
  expect(statusOf([RUNNING]).conditions.find(({ type }) => type === 'Ready')).toMatchObject({ status: 'True' })
})

test('conditions keep the time of their last change, and those of others stay', () => {
  const conditions = [
    { type: 'PodScheduled', status: 'True', lastTransitionTime: EARLIER },
    { type: 'Ready', status: 'True', lastTransitionTime: EARLIER },
    { type: 'ContainersReady', status: 'False', lastTransitionTime: EARLIER },
  ]
  const status = statusOf([RUNNING], {}, { conditions })
  const timeOf = (name: string) => status.conditions.find(({ type }) => type === name)?.lastTransitionTime
  expect(timeOf('PodScheduled')).toBe(EARLIER)
  expect(timeOf('Ready')).toBe(EARLIER)
  expect(timeOf('ContainersReady')).toBe(NOW.toISOString())
})

test.each([
  ['Never', 0, 'Succeeded'],
  ['Never', 1, 'Failed'],
  ['OnFailure', 0, 'Succeeded'],
  ['OnFailure', 1, 'Running'],
  ['Always', 0, 'Running'],
] as const)('restartPolicy %s and exit code %s: %s', (restartPolicy, code, phase) => {
  expect(statusOf([ended(code)], { restartPolicy }).phase).toBe(phase)
})

test('a crash loop shows how the container ended before', () => {
  const waiting = { reason: 'CrashLoopBackOff', message: 'back-off' }
  const previous = { code: 1, startedAt: NOW, endedAt: NOW }
  const [container] = statusOf([{ ...ended(1), restarts: 2, previous, waiting }]).containerStatuses
  expect(container).toMatchObject({
    restartCount: 2,
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 1, reason: 'Error' } },
  })
})
