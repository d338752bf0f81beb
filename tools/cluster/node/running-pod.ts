import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { removeFolder } from '../kube.ts'
import type { Address } from './addresses.ts'
import { type Container, environmentOf, filesOf, NotReady, type Pod, type Probe, type Sources } from './pod.ts'
import { runProbe, settingsOf } from './probe.ts'
import { ContainerProcess, type Ended } from './process.ts'
import { type Place, type Programs, pathInVolume, programOf } from './program.ts'
import { type ContainerState, phaseOf, podStatus } from './status.ts'
import type { Measured } from './usage.ts'

const RETRY_MS = 3000
const GRACE_S_DEFAULT = 30

/** The back-off of restarts, as a node's: 10 s, doubled, five minutes at the most. */
const BACKOFF_MS = 10_000
const BACKOFF_MAX_MS = 300_000
const BACKOFF_RESET_MS = 600_000

const NEVER = new AbortController().signal

export interface PodContext {
  /** The end of a pod that had the same name, and so may have the same address and volumes. */
  readonly after: Promise<void> | undefined
  readonly address: Address
  /** A private folder for the pod's volumes and logs. */
  readonly folder: string
  readonly hostIp: string
  readonly programs: Programs
  readonly sources: Sources
  resolve(host: string): string | undefined
  /** Returns the folder of a claim; rejects while it is not bound. */
  claimFolder(name: string): Promise<string>
  /** Reports a changed status. */
  onStatus(): void
}

/** A pod whose containers are processes of this computer. */
export class RunningPod {
  #pod: Pod
  readonly #context: PodContext
  readonly #startTime = new Date()
  readonly #stop = new AbortController()
  readonly #hurry = new AbortController()
  readonly #containers: RunningContainer[]
  readonly #done: Promise<unknown>

  constructor(pod: Pod, context: PodContext) {
    this.#pod = pod
    this.#context = context
    this.#containers = pod.spec.containers.map(one => new RunningContainer(one))
    this.#done = this.#run()
  }

  get pod(): Pod {
    return this.#pod
  }

  /** Takes a newer version of the pod, whose conditions others may have changed. */
  update(pod: Pod): void {
    this.#pod = pod
  }

  get isOver(): boolean {
    const phase = phaseOf(this.#pod, this.#states())
    return phase === 'Succeeded' || phase === 'Failed'
  }

  status() {
    const { address, hostIp } = this.#context
    const [startTime, now] = [this.#startTime, new Date()]
    return podStatus(this.#pod, { podIp: address.reported, hostIp, startTime, containers: this.#states(), now })
  }

  /** The file with a container's output; the first container's if there is no name. */
  logFile(container: string | undefined): string | undefined {
    const name = container ?? this.#pod.spec.containers[0]?.name
    return this.#containers.some(one => one.spec.name === name) ? this.#logFileOf(name ?? '') : undefined
  }

  async measure(at: number): Promise<void> {
    await Promise.all(this.#containers.map(({ process }) => process?.measure(at)))
  }

  /** What the containers use; undefined until all of them were measured. */
  measured(): Measured | undefined {
    const { name, namespace = '', labels = {} } = this.#pod.metadata
    const containers = this.#containers.flatMap(({ spec, process }) => {
      const usage = process?.isRunning === true ? process.usage() : undefined
      return usage === undefined ? [] : [{ name: spec.name, usage }]
    })
    return containers.length === this.#containers.length ? { name, namespace, labels, containers } : undefined
  }

  /** Runs the preStop sleep, then stops the processes, all within the grace period. */
  async terminate(graceS = this.#pod.spec.terminationGracePeriodSeconds ?? GRACE_S_DEFAULT): Promise<void> {
    const deadline = performance.now() + graceS * 1000
    const stops = this.#containers.map(async ({ spec, process }) => {
      const sleepMs = (spec.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000
      if (process?.isRunning === true) await pause(Math.min(sleepMs, graceS * 1000), this.#hurry.signal)
      this.#stop.abort()
      await process?.stop(Math.max(0, deadline - performance.now()), this.#hurry.signal)
    })
    await Promise.all(stops)
    await this.#finish()
  }

  /** Kills the processes at once: the pod is gone. */
  async kill(): Promise<void> {
    this.#hurry.abort()
    this.#stop.abort()
    for (const { process } of this.#containers) process?.kill()
    await this.#finish()
  }

  async #finish(): Promise<void> {
    await this.#done
    await removeFolder(this.#context.folder)
  }

  #states(): ContainerState[] {
    return this.#containers.map(one => one.state())
  }

  #logFileOf(container: string): string {
    return join(this.#context.folder, `${container}.log`)
  }

  async #run(): Promise<void> {
    await this.#context.after
    const mounts = await this.#prepare()
    if (mounts === undefined) return
    await Promise.all(this.#containers.map(one => this.#runContainer(one, mounts)))
  }

  /** Makes the folders of the volumes. What is missing may still come. */
  async #prepare(): Promise<ReadonlyMap<string, string> | undefined> {
    return this.#retry(async () => {
      const volumes = new Map<string, string>()
      await mkdir(this.#context.folder, { recursive: true, mode: 0o700 })
      for (const volume of this.#pod.spec.volumes ?? []) {
        const claim = volume.persistentVolumeClaim?.claimName
        const own = join(this.#context.folder, 'volumes', volume.name)
        const folder = claim === undefined ? own : await this.#context.claimFolder(claim)
        await mkdir(folder, { recursive: true, mode: 0o700 })
        for (const [path, content] of (await filesOf(volume, this.#context.sources)) ?? []) {
          const file = pathInVolume(folder, path)
          await mkdir(dirname(file), { recursive: true })
          await writeFile(file, content, { mode: 0o600 })
        }
        volumes.set(volume.name, folder)
      }
      return volumes
    })
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    while (!this.#stop.signal.aborted) {
      try {
        return await attempt()
      } catch (error) {
        const reason = error instanceof NotReady ? error.reason : 'ContainerCreating'
        const message = error instanceof Error ? error.message : String(error)
        for (const one of this.#containers) one.waiting = { reason, message }
        this.#context.onStatus()
        await pause(RETRY_MS, this.#stop.signal)
      }
    }
    return undefined
  }

  /** Runs a container and restarts it by the pod's policy until the pod is stopped. */
  async #runContainer(one: RunningContainer, volumes: ReadonlyMap<string, string>): Promise<void> {
    const { restartPolicy = 'Always' } = this.#pod.spec
    const { address, folder, programs, sources, resolve, onStatus } = this.#context
    const mounted = (one.spec.volumeMounts ?? []).map(({ name, mountPath, subPath = '' }) => {
      return [mountPath, join(volumes.get(name) ?? folder, subPath)] as const
    })
    const place: Place = {
      podName: this.#pod.metadata.name,
      address: address.loopback,
      mounts: new Map(mounted),
      resolve,
    }
    const failed = { count: 0 }
    while (!this.#stop.signal.aborted) {
      const program = await this.#retry(async () => {
        const env = await environmentOf(this.#pod, one.spec, sources, address.reported)
        return programOf(one.spec, env, place, programs)
      })
      if (program === undefined) return
      const process = new ContainerProcess(program, folder, this.#logFileOf(one.spec.name))
      one.began(process)
      onStatus()
      const ended = new AbortController()
      const probing = this.#probe(one, place, program.env, AbortSignal.any([ended.signal, this.#stop.signal]))
      const end = await process.exited
      ended.abort()
      await probing
      one.ended(end)
      onStatus()
      const isDone = restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && end.code === 0)
      if (this.#stop.signal.aborted || isDone) return
      const ranMs = end.endedAt.getTime() - end.startedAt.getTime()
      failed.count = ranMs > BACKOFF_RESET_MS ? 0 : failed.count + 1
      one.restarts += 1
      if (failed.count > 1) {
        const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (failed.count - 2))
        one.waiting = {
          reason: 'CrashLoopBackOff',
          message: `back-off ${backoffMs / 1000}s restarting failed container`,
        }
        onStatus()
        await pause(backoffMs, this.#stop.signal)
      }
    }
  }

  /** Probes a container until it ends: first its start, then readiness and liveness. */
  async #probe(one: RunningContainer, place: Place, env: Readonly<Record<string, string>>, stop: AbortSignal) {
    const { spec } = one
    const { startupProbe, readinessProbe, livenessProbe } = spec
    const target = { container: spec, place, env }
    const restart = (): void => void one.process?.stop(this.#graceMs(), NEVER)
    const each = async (probe: Probe | undefined, onResult: (isGood: boolean) => 'go on' | 'end'): Promise<void> => {
      if (probe === undefined) return
      const { initialDelaySeconds, periodSeconds, failureThreshold, successThreshold } = settingsOf(probe)
      const row = { good: 0, bad: 0 }
      await pause(initialDelaySeconds * 1000, stop)
      while (!stop.aborted) {
        const isGood = await runProbe(probe, target)
        row.good = isGood ? row.good + 1 : 0
        row.bad = isGood ? 0 : row.bad + 1
        if (stop.aborted) return
        if (row.good >= successThreshold && onResult(true) === 'end') return
        if (row.bad >= failureThreshold && onResult(false) === 'end') return
        await pause(periodSeconds * 1000, stop)
      }
    }
    await each(startupProbe, isGood => {
      if (!isGood) restart()
      return 'end'
    })
    if (stop.aborted || one.process?.isRunning !== true) return
    one.isStarted = true
    one.isReady = readinessProbe === undefined
    this.#context.onStatus()
    await Promise.all([
      each(readinessProbe, isGood => {
        if (one.isReady !== isGood) {
          one.isReady = isGood
          this.#context.onStatus()
        }
        return 'go on'
      }),
      each(livenessProbe, isGood => {
        if (!isGood) restart()
        return isGood ? 'go on' : 'end'
      }),
    ])
  }

  #graceMs(): number {
    return (this.#pod.spec.terminationGracePeriodSeconds ?? GRACE_S_DEFAULT) * 1000
  }
}

/** A container and what has become of it. */
class RunningContainer {
  readonly spec: Container
  process: ContainerProcess | undefined
  restarts = 0
  isStarted = false
  isReady = false
  waiting: ContainerState['waiting']
  #ended: Ended | undefined
  #previous: Ended | undefined

  constructor(spec: Container) {
    this.spec = spec
  }

  began(process: ContainerProcess): void {
    this.process = process
    this.waiting = undefined
    this.#ended = undefined
  }

  ended(end: Ended): void {
    this.process = undefined
    this.isReady = false
    this.isStarted = false
    this.#ended = end
    this.#previous = end
  }

  state(): ContainerState {
    const { name, image } = this.spec
    const { restarts, isStarted, isReady, waiting } = this
    const runningSince = this.process?.startedAt
    const state = { name, image, restarts, isStarted, isReady, waiting, runningSince, ended: this.#ended }
    return { ...state, previous: restarts > 0 ? this.#previous : undefined }
  }
}
