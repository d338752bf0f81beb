import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { request } from 'undici'
import type { Container, Probe } from './pod.ts'
import { type Place, probeCommand } from './program.ts'

/** Kubernetes' own defaults. */
const DEFAULTS = {
  periodSeconds: 10,
  timeoutSeconds: 1,
  failureThreshold: 3,
  successThreshold: 1,
  initialDelaySeconds: 0,
}

export type ProbeSettings = Required<Pick<Probe, keyof typeof DEFAULTS>>

export function settingsOf(probe: Probe): ProbeSettings {
  return { ...DEFAULTS, ...Object.fromEntries(Object.entries(probe).filter(([name]) => name in DEFAULTS)) }
}

interface Probed {
  readonly container: Container
  readonly place: Place
  readonly env: Readonly<Record<string, string>>
}

/** Runs a probe once; resolves to whether it succeeded in time. */
export async function runProbe(probe: Probe, { container, place, env }: Probed): Promise<boolean> {
  const limitMs = settingsOf(probe).timeoutSeconds * 1000
  const { httpGet, tcpSocket, exec } = probe
  try {
    if (httpGet !== undefined) {
      const url = `http://${place.address}:${portOf(container, httpGet.port)}${httpGet.path ?? '/'}`
      const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(limitMs) })
      await body.dump()
      return statusCode >= 200 && statusCode < 400
    }
    if (tcpSocket !== undefined) return await canConnect(place.address, portOf(container, tcpSocket.port), limitMs)
    if (exec !== undefined) {
      const [file = '', ...args] = probeCommand(exec.command, place)
      await promisify(execFile)(file, args, { env, timeout: limitMs })
    }
    return true
  } catch {
    return false
  }
}

/** Returns the number of a container's port, which a probe may name. */
export function portOf({ ports = [] }: Pick<Container, 'ports'>, port: number | string): number {
  return typeof port === 'number' ? port : (ports.find(({ name }) => name === port)?.containerPort ?? 0)
}

async function canConnect(host: string, port: number, limitMs: number): Promise<boolean> {
  const socket = connect({ host, port })
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.setTimeout(limitMs, () => resolve(false))
  socket.on('connect', () => resolve(true))
  socket.on('error', () => resolve(false))
  const isOpen = await promise
  socket.destroy()
  return isOpen
}
