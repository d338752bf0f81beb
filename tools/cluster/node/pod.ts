import type { KubeObject } from '../kube.ts'

/** The parts of a Pod that a node needs. */
export interface Pod extends KubeObject {
  readonly spec: PodSpec
  readonly status?: PodStatus
}

export interface PodSpec {
  readonly nodeName?: string
  readonly hostname?: string
  readonly subdomain?: string
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never'
  readonly terminationGracePeriodSeconds?: number
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes?: readonly Volume[]
  readonly serviceAccountName?: string
}

export interface PodStatus {
  readonly phase?: string
  readonly startTime?: string
  readonly conditions?: readonly Condition[]
}

export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly lastTransitionTime?: string
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly EnvVar[]
  readonly envFrom?: readonly EnvFrom[]
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[]
  readonly volumeMounts?: readonly VolumeMount[]
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } }
}

export interface Probe {
  readonly httpGet?: { readonly path?: string; readonly port: number | string }
  readonly tcpSocket?: { readonly port: number | string }
  readonly exec?: { readonly command: readonly string[] }
  readonly initialDelaySeconds?: number
  readonly periodSeconds?: number
  readonly timeoutSeconds?: number
  readonly failureThreshold?: number
  readonly successThreshold?: number
}

interface Reference {
  readonly name: string
  readonly optional?: boolean
}

interface EnvVar {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef?: Reference & { readonly key: string }
    readonly configMapKeyRef?: Reference & { readonly key: string }
    readonly fieldRef?: { readonly fieldPath: string }
  }
}

interface EnvFrom {
  readonly prefix?: string
  readonly configMapRef?: Reference
  readonly secretRef?: Reference
}

interface VolumeMount {
  readonly name: string
  readonly mountPath: string
  readonly subPath?: string
}

interface Items {
  readonly items?: readonly { readonly key: string; readonly path: string }[]
  readonly optional?: boolean
}

export interface Volume {
  readonly name: string
  readonly secret?: Items & { readonly secretName: string }
  readonly configMap?: Items & { readonly name: string }
  readonly emptyDir?: object
  readonly persistentVolumeClaim?: { readonly claimName: string }
  readonly projected?: {
    readonly sources: readonly {
      readonly secret?: Items & { readonly name: string }
      readonly configMap?: Items & { readonly name: string }
    }[]
  }
}

/** Contents of a Secret or a ConfigMap; undefined if there is none of that name. */
export type Contents = ReadonlyMap<string, Buffer> | undefined

/** Where a pod finds what it refers to. */
export interface Sources {
  secret(name: string): Promise<Contents>
  configMap(name: string): Promise<Contents>
}

/** A pod that cannot start yet; it is tried again, as a real node does. */
export class NotReady extends Error {
  readonly reason: string

  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Returns the environment of a container, as its manifest describes it. */
export async function environmentOf(
  pod: Pod,
  container: Container,
  sources: Sources,
  podIp: string,
): Promise<Record<string, string>> {
  const env: Record<string, string> = {}
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const contents = await contentsOf(sources, { configMapRef, secretRef })
    for (const [key, value] of contents ?? []) env[`${prefix}${key}`] = value.toString()
  }
  for (const { name, value, valueFrom = {} } of container.env ?? []) {
    const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom
    if (value !== undefined) env[name] = expand(value, env)
    if (fieldRef !== undefined) env[name] = fieldOf(pod, fieldRef.fieldPath, podIp)
    const reference = secretKeyRef ?? configMapKeyRef
    if (reference === undefined) continue
    const contents = await contentsOf(sources, { secretRef: secretKeyRef, configMapRef: configMapKeyRef })
    const found = contents?.get(reference.key)
    if (found !== undefined) env[name] = found.toString()
    else if (reference.optional !== true) {
      throw new NotReady('CreateContainerConfigError', `${reference.name} has no key ${reference.key}`)
    }
  }
  return env
}

interface ContentReferences {
  readonly secretRef?: Reference | undefined
  readonly configMapRef?: Reference | undefined
}

async function contentsOf(sources: Sources, { secretRef, configMapRef }: ContentReferences): Promise<Contents> {
  const [kind, reference] = secretRef === undefined ? ['configMap', configMapRef] : ['secret', secretRef]
  if (reference === undefined) return undefined
  const contents = await (secretRef === undefined ? sources.configMap : sources.secret)(reference.name)
  if (contents === undefined && reference.optional !== true) {
    throw new NotReady('CreateContainerConfigError', `${kind} "${reference.name}" not found`)
  }
  return contents
}

function fieldOf(pod: Pod, path: string, podIp: string): string {
  const fields: Readonly<Record<string, string | undefined>> = {
    'metadata.name': pod.metadata.name,
    'metadata.namespace': pod.metadata.namespace,
    'metadata.uid': pod.metadata.uid,
    'spec.nodeName': pod.spec.nodeName,
    'spec.serviceAccountName': pod.spec.serviceAccountName,
    'status.podIP': podIp,
  }
  return fields[path] ?? ''
}

/** Replaces $(NAME) by variables that were defined before, as Kubernetes does. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([A-Za-z_][\w.-]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (env[name] ?? whole),
  )
}

/** Returns the files of a volume by their paths; undefined if it has a folder of its own. */
export async function filesOf(volume: Volume, sources: Sources): Promise<ReadonlyMap<string, Buffer> | undefined> {
  const { secret, configMap, projected } = volume
  const parts = [
    ...(secret === undefined ? [] : [{ secret: { ...secret, name: secret.secretName } }]),
    ...(configMap === undefined ? [] : [{ configMap }]),
    ...(projected?.sources ?? []),
  ] as NonNullable<Volume['projected']>['sources']
  if (parts.length === 0 && projected === undefined) return undefined
  const files = new Map<string, Buffer>()
  for (const part of parts) {
    const reference = part.secret ?? part.configMap
    // A token of the service account, for example: the processes started here use none.
    if (reference === undefined) continue
    const contents = await (part.secret === undefined ? sources.configMap : sources.secret)(reference.name)
    if (contents === undefined && reference.optional !== true) {
      throw new NotReady('ContainerCreating', `MountVolume.SetUp failed: ${reference.name} not found`)
    }
    const items = reference.items ?? [...(contents?.keys() ?? [])].map(key => ({ key, path: key }))
    for (const { key, path } of items) {
      const content = contents?.get(key)
      if (content !== undefined) files.set(path, content)
      else if (reference.optional !== true) {
        throw new NotReady('ContainerCreating', `${reference.name} has no key ${key}`)
      }
    }
  }
  return files
}
