import { PARTITIONS_DEFAULT } from '../../sample/partition.ts'
import { keysUnder } from '../keys.ts'
import { AccessDenied, LayoutMismatch, type StoreError } from '../ports/errors.ts'
import type { Store } from '../ports/store.ts'
import { createAlertStore } from './alert-store.ts'
import { createAnalyzerStore } from './analyzer-store.ts'
import { createApiKeyStore } from './api-key-store.ts'
import { createAppend } from './append.ts'
import { createAuditStore } from './audit-store.ts'
import { connect } from './connection.ts'
import { mapErrors } from './errors.ts'
import { createFeedStore } from './feed-store.ts'
import { createGatewayStore } from './gateway-store.ts'
import { createKeyStore } from './key-store.ts'
import { FORMAT, REPARTITIONING } from './layout.ts'
import { createLimitStore } from './limit-store.ts'
import type { RedisStoreOptions } from './options.ts'
import { createPointStore } from './point-store.ts'
import { createProcessStore } from './process-store.ts'
import { createRuleStore } from './rule-store.ts'
import { defineScripts, type ScriptClient } from './scripts.ts'
import { createSessionStore } from './session-store.ts'
import { createTotalStore } from './total-store.ts'

/**
 * Connects to Redis and checks the layout; the open store reconnects by itself. Rejects with a
 * StoreError while Redis does not respond, a LayoutMismatch or a DurabilityMismatch.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  await using opening = new AsyncDisposableStack()
  const client = defineScripts(await connect(options))
  opening.defer(() => client.disconnect())
  const partitions = await checkLayout(client, options)
  const context = { client, keys: keysUnder(options.prefix), options }
  const { append, durability } = opening.use(await createAppend(context, partitions))
  const noteLayout = (): Promise<unknown> => checkLayout(client, { ...options, partitions })
  const analyzer = opening.use(createAnalyzerStore({ ...context, partitions, noteLayout }))
  const resources = opening.move()
  return {
    partitions,
    get durability() {
      return durability()
    },
    gateway: createGatewayStore(context, append),
    analyzer,
    rules: createRuleStore(context),
    processes: createProcessStore(context),
    alerts: createAlertStore(context),
    apiKeys: createApiKeyStore(context),
    feed: createFeedStore(context),
    limits: createLimitStore(context),
    audit: createAuditStore(context),
    keys: createKeyStore(context, partitions),
    sessions: createSessionStore(context),
    points: createPointStore(context),
    totals: createTotalStore(context),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function checkLayout(client: ScriptClient, { cluster, prefix, partitions }: RedisStoreOptions): Promise<number> {
  const wanted = partitions ?? PARTITIONS_DEFAULT
  const found = await mapErrors(() => client.layout(keysUnder(prefix).meta, FORMAT, wanted)).catch(
    (error: StoreError) => {
      if (cluster || !/^(?:MOVED|CLUSTERDOWN)\b/.test(error.message)) throw error
      throw new AccessDenied('This Redis is a node of a cluster: set REDIS_CLUSTER to true.', { kind: 'fatal' })
    },
  )
  const [foundFormat, foundPartitions] = found as [string, string]
  if (foundFormat !== FORMAT) {
    throw new LayoutMismatch(otherFormat(foundFormat))
  }
  if (partitions !== undefined && Number(foundPartitions) !== partitions) {
    throw new LayoutMismatch(
      `this Redis holds a deployment of ${foundPartitions} partitions, and PARTITIONS is ${partitions}. ` +
        `The first start fixes the number: set PARTITIONS to ${foundPartitions} or leave it out. ` +
        'npm run repartition changes it (docs/repartition.md).',
    )
  }
  return Number(foundPartitions)
}

function otherFormat(found: string): string {
  if (found === REPARTITIONING) {
    return 'npm run repartition moves the data of this Redis, or was interrupted: wait for its end, or run it again.'
  }
  const both = `this Redis holds Tidemark data of format ${found}, and this version reads and writes format ${FORMAT}`
  const other = 'To begin without this data, set another REDIS_PREFIX.'
  if (Number(found) > Number(FORMAT)) {
    return (
      `${both}: a newer version wrote it. Start that version or a newer one. To go back to this version, restore the ` +
      `backup from before the upgrade (docs/backup.md). ${other}`
    )
  }
  return `${both}: start the version that wrote it, and upgrade from there as docs/upgrading.md says. ${other}`
}
