import type { Condition, Pod } from './pod.ts'
import type { Ended } from './process.ts'

/** What is known of one container. */
export interface ContainerState {
  readonly name: string
  readonly image: string
  readonly restarts: number
  readonly isStarted: boolean
  readonly isReady: boolean
  readonly runningSince: Date | undefined
  /** The last end of the process, if it does not run. */
  readonly ended: Ended | undefined
  /** The end before this start. */
  readonly previous: Ended | undefined
  readonly waiting: { readonly reason: string; readonly message: string } | undefined
}

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed'

export interface Reported {
  readonly podIp: string
  readonly hostIp: string
  readonly startTime: Date
  readonly containers: readonly ContainerState[]
  readonly now: Date
}

const OWN_CONDITIONS = ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'] as const

/** Returns the status of a pod, as a node reports it. Conditions of others are kept. */
export function podStatus(pod: Pod, { podIp, hostIp, startTime, containers, now }: Reported) {
  const phase = phaseOf(pod, containers)
  const isReady = phase === 'Running' && containers.every(one => one.isReady)
  const known = pod.status?.conditions ?? []
  const values: Readonly<Record<(typeof OWN_CONDITIONS)[number], boolean>> = {
    PodReadyToStartContainers: true,
    Initialized: true,
    ContainersReady: isReady,
    Ready: isReady,
  }
  const own = OWN_CONDITIONS.map(type => conditionOf(type, values[type], phase, known, now))
  return {
    phase,
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    startTime: startTime.toISOString(),
    conditions: [...known.filter(({ type }) => !OWN_CONDITIONS.some(one => one === type)), ...own],
    containerStatuses: containers.map(containerStatus),
  }
}

export function phaseOf(pod: Pod, containers: readonly ContainerState[]): Phase {
  const { restartPolicy = 'Always' } = pod.spec
  const isOver = containers.every(({ ended }) => ended !== undefined)
  if (isOver && restartPolicy !== 'Always') {
    const hasFailed = containers.some(({ ended }) => ended?.code !== 0)
    if (!hasFailed) return 'Succeeded'
    if (restartPolicy === 'Never') return 'Failed'
  }
  return containers.every(({ runningSince, ended }) => runningSince === undefined && ended === undefined)
    ? 'Pending'
    : 'Running'
}

/** The time of a condition changes only with its status: autoscalers depend on it. */
function conditionOf(type: string, value: boolean, phase: Phase, known: readonly Condition[], now: Date): Condition {
  const status = value ? 'True' : 'False'
  const before = known.find(one => one.type === type)
  const since = before?.status === status ? before.lastTransitionTime : undefined
  const isOver = phase === 'Succeeded' || phase === 'Failed'
  const reason = isOver ? 'PodCompleted' : 'ContainersNotReady'
  return { type, status, lastTransitionTime: since ?? now.toISOString(), ...(!value && { reason }) }
}

function containerStatus(one: ContainerState) {
  const { name, image, restarts, isReady, isStarted, runningSince, ended, previous, waiting } = one
  const terminated = (end: Ended) => ({
    terminated: {
      exitCode: end.code,
      reason: end.code === 0 ? 'Completed' : 'Error',
      startedAt: end.startedAt.toISOString(),
      finishedAt: end.endedAt.toISOString(),
    },
  })
  const state =
    runningSince !== undefined
      ? { running: { startedAt: runningSince.toISOString() } }
      : ended !== undefined && waiting === undefined
        ? terminated(ended)
        : { waiting: waiting ?? { reason: 'ContainerCreating', message: '' } }
  return {
    name,
    image,
    imageID: image,
    restartCount: restarts,
    ready: isReady,
    started: isStarted,
    state,
    lastState: previous === undefined ? { terminated: undefined } : terminated(previous),
  }
}
