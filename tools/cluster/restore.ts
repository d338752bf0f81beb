import type { Client } from '@tidemark/client/client'
import { Failure } from '../lib/options.ts'
import type { Deployment } from './deployment.ts'
import type { Cluster, KubeObject } from './kube.ts'
import { applyManifests } from './manifests.ts'
import { settledTotals, type Totals } from './traffic.ts'
import { until } from './wait.ts'

const JOB_LIMIT_S = 180
const KEYS_COMPARED = 100

/** A copy of the whole data set, made by Redis itself. */
const BACKUP = 'redis-cli --user admin -u redis://redis:6379 --rdb /backup/dump.rdb'

/**
 * Replaces the data by the backup. Redis reads only its append-only file, so the backup becomes the
 * base of a new one.
 */
const RESTORE = [
  'set -e',
  'rm -rf /data/appendonlydir',
  'mkdir -p /data/appendonlydir',
  'cp /backup/dump.rdb /data/appendonlydir/appendonly.aof.1.base.rdb',
  "printf 'file appendonly.aof.1.base.rdb seq 1 type b\\n' > /data/appendonlydir/appendonly.aof.manifest",
].join('; ')

interface Job extends KubeObject {
  readonly status: { readonly succeeded?: number; readonly failed?: number }
}

export interface RestoreResult {
  readonly samples: number
  readonly lost: number
  /** Keys whose newest analysis was compared, and those that differ. */
  readonly compared: number
  readonly different: number
  /** Samples sent after the backup: a restore loses them. */
  readonly afterBackup: number
  readonly backupS: number
  /** From the loss of the data until a gateway accepted samples again. */
  readonly outageS: number
}

/** Backs up Redis, loses its data, restores it, and compares what there was before. */
export async function backupAndRestore(
  cluster: Cluster,
  deployment: Deployment,
  client: Client,
  stop: AbortSignal,
): Promise<RestoreResult> {
  const before = await settledTotals(client, 0, stop)
  const known = await analysesOf(client)
  const backupBegin = performance.now()
  await applyManifests(cluster, [backupClaim(deployment.namespace)])
  await runJob(cluster, deployment, 'redis-backup', BACKUP, stop)
  const backupS = (performance.now() - backupBegin) / 1000

  const later = Array.from({ length: 100 }, (_, i) => ({ key: `cluster/after-backup-${i}`, value: i }))
  const { accepted: afterBackup } = await client.ingest(later)

  const outageBegin = performance.now()
  for (const name of ['gateway', 'analyzer', 'redis'] as const) await deployment.scale(name, 0)
  await runJob(cluster, deployment, 'redis-restore', RESTORE, stop)
  await deployment.scale('redis', 1)
  await deployment.scale('analyzer', 2)
  await deployment.scale('gateway', 2)
  await until('a gateway accepts samples', JOB_LIMIT_S, stop, async () => {
    const response = await client.request('POST', '/ingest', { body: [] }).catch(() => undefined)
    await response?.body?.cancel()
    return response !== undefined && response.status < 500 ? true : undefined
  })
  const outageS = (performance.now() - outageBegin) / 1000
  await deployment.ready()
  const after = await settledTotals(client, 0, stop)
  const restored = new Map((await analysesOf(client)).map(one => [one.key, JSON.stringify(one)]))
  const different = known.filter(one => restored.get(one.key) !== JSON.stringify(one)).length
  return {
    samples: before.accepted,
    lost: lostBetween(before, after),
    compared: known.length,
    ...{ different, afterBackup, backupS, outageS },
  }
}

/** Returns how many samples of the backup are missing after the restore. */
export function lostBetween(before: Totals, after: Totals): number {
  const missing = Math.max(0, before.analysed + before.dead - after.analysed - after.dead)
  return Math.max(missing, before.accepted - after.accepted, after.lost - before.lost)
}

async function analysesOf(client: Client) {
  const { analyses } = await client.analyses({ limit: KEYS_COMPARED })
  return analyses
}

async function runJob(
  cluster: Cluster,
  deployment: Deployment,
  name: string,
  script: string,
  stop: AbortSignal,
): Promise<void> {
  const image = await imageOfRedis(cluster, deployment)
  await deployment.kubectl('delete', 'job', name, '--ignore-not-found')
  await applyManifests(cluster, [redisJob(deployment.namespace, name, image, script)])
  const isDone = await until(`the Job ${name} has ended`, JOB_LIMIT_S, stop, async () => {
    const { status } = await cluster.get<Job>(deployment.path('jobs', name))
    return (status.succeeded ?? 0) > 0 ? true : (status.failed ?? 0) > 0 ? false : undefined
  })
  if (!isDone) throw new Failure(`the Job ${name} failed:\n${await deployment.kubectl('logs', `job/${name}`)}`)
}

async function imageOfRedis(cluster: Cluster, deployment: Deployment): Promise<string> {
  interface StatefulSet {
    readonly spec: {
      readonly template: { readonly spec: { readonly containers: readonly [{ readonly image: string }] } }
    }
  }
  const { spec } = await cluster.get<StatefulSet>(deployment.path('statefulsets', 'redis'))
  return spec.template.spec.containers[0].image
}

function backupClaim(namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'redis-backup', namespace },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }
}

/** A pod that may connect to Redis and has its data and the backup. */
function redisJob(namespace: string, name: string, image: string, script: string): object {
  const isBackup = name === 'redis-backup'
  const mounts = [{ name: 'backup', mountPath: '/backup' }, ...(isBackup ? [] : [{ name: 'data', mountPath: '/data' }])]
  const claim = (claimName: string) => ({ persistentVolumeClaim: { claimName } })
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { labels: { 'app.kubernetes.io/name': name, 'tidemark/redis-client': 'true' } },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: 'redis',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: {
            ...{ runAsNonRoot: true, runAsUser: 999, runAsGroup: 1000, fsGroup: 1000 },
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              ...{ name: 'redis', image, command: ['sh', '-c', script] },
              env: [
                {
                  name: 'REDISCLI_AUTH',
                  valueFrom: { secretKeyRef: { name: 'tidemark-redis', key: 'admin-password' } },
                },
              ],
              resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
              securityContext: {
                ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: mounts,
            },
          ],
          volumes: [
            { name: 'backup', ...claim('redis-backup') },
            ...(isBackup ? [] : [{ name: 'data', ...claim('data-redis-0') }]),
          ],
        },
      },
    },
  }
}
