import { PARTITIONS_DEFAULT } from '../../sample/partition.ts'
import { keysUnder } from '../keys.ts'
import { LayoutMismatch } from '../ports/errors.ts'
import type { DurabilityLevel, Store } from '../ports/store.ts'
import { createAlertStore } from './alert-store.ts'
import { createAnalyzerStore } from './analyzer-store.ts'
import { createAppend } from './append.ts'
import { type Client, type ConnectionOptions, connect, defineScripts, type ScriptRunner } from './connection.ts'
import { asked } from './errors.ts'
import { createGatewayStore } from './gateway-store.ts'
import { createRuleStore } from './rule-store.ts'

/** Version of everything that stands in Redis. Another one is another deployment. */
const FORMAT = '2'

export interface RedisStoreOptions extends ConnectionOptions {
  /** First part of every key. */
  readonly prefix: string
  /** For a new deployment; an old one must have the same. Undefined takes what is there. */
  readonly partitions: number | undefined
  /** Samples that a partition may hold unanalysed. */
  readonly backlogMax: number
  /** Anomalies kept for each partition. */
  readonly anomaliesMax: number
  /** Dead entries kept for each partition. */
  readonly deadMax: number
  /** Resolved alerts kept for each partition. */
  readonly alertsMax: number
  /** What is kept for receivers that are behind, for each partition. */
  readonly outboxMax: number
  /** Analyses that rules which are tried out would have flagged, kept for each partition. */
  readonly shadowedMax: number
  /** Requests that each partition remembers, so that they may be repeated. */
  readonly requestsMax: number
  /** What Redis must keep of appended samples. Undefined where none are appended. */
  readonly durability: { readonly level: DurabilityLevel; readonly onWarning: (sentence: string) => void } | undefined
}

export const REDIS_STORE_DEFAULTS = {
  cluster: false,
  commandTimeoutMs: 2000,
  prefix: 'tm',
  partitions: undefined,
  backlogMax: 1_000_000,
  anomaliesMax: 10_000,
  deadMax: 10_000,
  requestsMax: 20_000,
  alertsMax: 10_000,
  outboxMax: 10_000,
  shadowedMax: 1000,
  durability: undefined,
} as const

/**
 * Connects to Redis and checks the layout. Rejects with a StoreError while Redis does not answer, and with a
 * LayoutMismatch when another deployment lives there, or a DurabilityMismatch. Once open it heals by itself.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  await using opening = new AsyncDisposableStack()
  const client = defineScripts(await connect(options))
  opening.defer(() => client.disconnect())
  const partitions = await checkLayout(client, options)
  const keys = keysUnder(options.prefix)
  const { append } = opening.use(await createAppend({ client, keys, partitions, options }))
  const gateway = createGatewayStore({ client, keys, append, options })
  const analyzer = createAnalyzerStore({
    client,
    keys,
    options,
    noteLayout: () => checkLayout(client, { ...options, partitions }),
  })
  opening.use(analyzer)
  const resources = opening.move()
  const durability = options.durability?.level ?? 'local'
  return {
    ...{ partitions, durability, gateway, analyzer },
    rules: createRuleStore(client, keys),
    alerts: createAlertStore({ client, keys, options }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function checkLayout(client: Client & ScriptRunner, options: RedisStoreOptions): Promise<number> {
  const { prefix, partitions } = options
  const wanted = partitions ?? PARTITIONS_DEFAULT
  const found = await asked(() => client.layout(keysUnder(prefix).meta, FORMAT, wanted))
  const [foundFormat, foundPartitions] = found as [string, string]
  if (foundFormat !== FORMAT) {
    throw new LayoutMismatch(
      `this Redis holds Tidemark data of format ${foundFormat}, and this version writes format ${FORMAT}. ` +
        'Use the version that wrote it, or another REDIS_PREFIX.',
    )
  }
  if (partitions !== undefined && Number(foundPartitions) !== partitions) {
    throw new LayoutMismatch(
      `this Redis holds a deployment of ${foundPartitions} partitions, and PARTITIONS is ${partitions}. ` +
        `The number is fixed at the first start: set PARTITIONS to ${foundPartitions} or leave it out.`,
    )
  }
  return Number(foundPartitions)
}
