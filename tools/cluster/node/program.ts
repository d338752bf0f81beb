import { isAbsolute, join, normalize } from 'node:path'
import { type Container, expand, NotReady } from './pod.ts'

/** Not the user in front of it. */
const HOST_IN_URL = /(?<=:\/\/(?:[^/@\s]*@)?)[A-Za-z][\w.-]*(?![^/\s]*@)/g

/** A process that stands for a container. */
export interface Program {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** What this computer has in place of the images. */
export interface Programs {
  /** Folders with the bundle of a service, by image; others use the service's own. */
  readonly bundles: ReadonlyMap<string, string>
  /** The bundle of a service in the working tree. */
  bundleOf(service: string): string
  readonly node: string
  readonly redis: string | undefined
  readonly python: string | undefined
  readonly path: string
}

/** Where a container runs. */
export interface Place {
  readonly podName: string
  /** The loopback address that stands for the pod's. */
  readonly address: string
  /** Folders by the path at which the container expects them. */
  readonly mounts: ReadonlyMap<string, string>
  /** Returns the loopback address of a Service or a pod by its DNS name; undefined for others. */
  resolve(host: string): string | undefined
}

/** Returns the process for a container: its image decides the program. */
export function programOf(
  container: Container,
  given: Readonly<Record<string, string>>,
  place: Place,
  programs: Programs,
): Program {
  const env = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, relocate(value, place)]))
  const relocated = (list: readonly string[] = []) => list.map(text => relocate(expand(text, given), place))
  const { command, args } = { command: relocated(container.command), args: relocated(container.args) }
  const base = { PATH: programs.path }
  const image = runtimeOf(container.image, place, programs)
  // The working folder of a service's image is its bundle: `node canary.mjs`.
  const inBundle = (text: string) => (image.bundle !== undefined && SCRIPT.test(text) ? join(image.bundle, text) : text)
  const [file, ...own] = command.length > 0 ? command.map(inBundle) : image.entrypoint
  if (file === undefined) throw new NotReady('ErrImagePull', `no program stands for the image ${container.image}`)
  // As the entrypoint of Redis' image does: its arguments may begin with the program's name.
  const rest = args[0] === 'redis-server' && file === programs.redis ? args.slice(1) : args
  // A command of its own, such as a script before Redis, passes these arguments on.
  const listen = command.length > 0 && args[0] !== 'redis-server' ? [] : image.listen
  return { file, args: [...own, ...rest, ...listen], env: { ...base, ...image.env, ...env } }
}

const SCRIPT = /^[\w-]+\.mjs$/

interface Runtime {
  readonly entrypoint: readonly string[]
  /** Arguments that make the program listen on the pod's address only. */
  readonly listen: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly bundle?: string
}

function runtimeOf(image: string, { podName, address }: Place, programs: Programs): Runtime {
  const name = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const service = /(?:^|[/-])(gateway|analyzer|mqtt)$/.exec(name)?.[1]
  if (service !== undefined) {
    const bundle = programs.bundles.get(image) ?? programs.bundleOf(service)
    // A pod's host name is its own name, and an analyzer is called by it.
    const names = { HOSTNAME: podName, ...(service === 'analyzer' && { ANALYZER_ID: podName }) }
    const env = { NODE_ENV: 'production', HOST: address, METRICS_HOST: address, ...names }
    return { entrypoint: [programs.node, '--disable-proto=delete', join(bundle, 'main.mjs')], listen: [], env, bundle }
  }
  if (/(?:^|\/)(?:redis|valkey)$/.test(name) && programs.redis !== undefined) {
    return { entrypoint: [programs.redis], listen: ['--bind', address], env: {} }
  }
  if (/(?:^|\/)locust$/.test(name) && programs.python !== undefined) {
    return { entrypoint: [programs.python, '-m', 'locust'], listen: [], env: {} }
  }
  return { entrypoint: [], listen: [], env: {} }
}

/** Returns a probe's command as a process, for the address of its pod. */
export function probeCommand(command: readonly string[], place: Place): readonly string[] {
  const [file = '', ...args] = command.map(text => relocate(text, place))
  return /^(redis|valkey)-cli$/.test(file) ? [file, '-h', place.address, ...args] : [file, ...args]
}

/** Replaces the paths of mounts and the host names of URLs in a setting or an argument. */
export function relocate(text: string, { mounts, resolve }: Pick<Place, 'mounts' | 'resolve'>): string {
  const paths = [...mounts.keys()].sort((a, b) => b.length - a.length)
  let moved = text
  if (paths.length > 0) {
    // A path stands alone, or after a separator: --locustfile=/load/locustfile.py, or in a script.
    const anyPath = new RegExp(`(?<=^|[\\s=:,"'])(${paths.map(RegExp.escape).join('|')})(?=$|[/\\s:,;"'])`, 'g')
    moved = moved.replaceAll(anyPath, (_, path: string) => mounts.get(path) ?? path)
  }
  return moved.replaceAll(HOST_IN_URL, host => resolve(host) ?? host)
}

/** Returns the path of a file in a volume; rejects one that leads out of it. */
export function pathInVolume(folder: string, path: string): string {
  const inside = normalize(path)
  if (isAbsolute(inside) || inside.startsWith('..')) {
    throw new NotReady('CreateContainerConfigError', `the path ${path} leads out of its volume`)
  }
  return join(folder, inside)
}
