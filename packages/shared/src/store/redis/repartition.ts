import type { ChainableCommander } from 'ioredis'
import { packFlat, SAMPLE_STRIDE, unpackSamples } from '../../sample/entry.ts'
import { PARTITIONS_DEFAULT, partitionOf } from '../../sample/partition.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import { CONSUMER, GROUP, keysUnder, type PartitionKeys } from '../keys.ts'
import { type Client, type ConnectionOptions, connect } from './connection.ts'
import { FORMAT, REPARTITIONING } from './layout.ts'

/** Fields, members or entries of one read, and commands of one write. */
const PAGE = 500

/** The old and the new data are in Redis at the same time. */
const MEMORY_FACTOR = 2

/** A row of a shadow rule has this before its key. */
const SHADOW = '\u0001'

/** The partition has what is to replace its data. */
const READY = 'next:ready'

export interface RepartitionOptions extends ConnectionOptions {
  readonly prefix: string
  /** How many partitions there will be. */
  readonly partitions: number
  readonly onProgress: (done: number, total: number, text: string) => void
}

export interface RepartitionResult {
  readonly from: number
  readonly to: number
  readonly keys: number
  readonly alerts: number
  /** Whether it went on with what an interrupted run had done. */
  readonly isResumed: boolean
}

/** Why the number of partitions cannot be changed now, in a sentence with the remedy. */
export class RepartitionRefused extends Error {
  override readonly name = 'RepartitionRefused'
}

interface State {
  readonly from: number
  readonly to: number
  /** `copy`: the old data is untouched. `switch`: the new data is complete and replaces it. */
  readonly phase: 'copy' | 'switch'
}

/**
 * Changes the number of partitions of a deployment whose processes are stopped and whose backlog is
 * empty. It first writes all data a second time, in its new place under other names, and then
 * replaces the old by the new data, one partition in one transaction. Run again after an
 * interruption it repeats the first part, or goes on with the second.
 */
export async function repartition(options: RepartitionOptions): Promise<RepartitionResult> {
  const client = await connect(options)
  try {
    return await new Repartitioning(client, options).run()
  } finally {
    client.disconnect()
  }
}

class Repartitioning {
  readonly #client: Client
  readonly #options: RepartitionOptions
  readonly #keys
  #done = 0
  #total = 1

  constructor(client: Client, options: RepartitionOptions) {
    this.#client = client
    this.#options = options
    this.#keys = keysUnder(options.prefix)
  }

  async run(): Promise<RepartitionResult> {
    const { partitions: to } = this.#options
    const found = await this.#state()
    const isResumed = found.format === REPARTITIONING
    if (!isResumed && found.format !== FORMAT) {
      throw new RepartitionRefused(
        found.format === undefined
          ? `there is no deployment under the prefix ${this.#options.prefix}: set REDIS_PREFIX to the one that the services use`
          : `this Redis holds data of format ${found.format}, and this version reads format ${FORMAT}: use the version that wrote it`,
      )
    }
    const { from } = found
    if (found.state?.phase === 'switch' && found.state.to !== to) {
      throw new RepartitionRefused(
        `an earlier run to ${found.state.to} partitions was interrupted when its data was complete: run it again with ${found.state.to} first`,
      )
    }
    const receivers = await this.#receivers(from)
    let counts = { keys: 0, alerts: 0 }
    if (found.state?.phase !== 'switch') {
      if (from === to) {
        if (!isResumed) throw new RepartitionRefused(`this deployment has ${to} partitions already`)
        await this.#clearStaged(found.state?.to ?? to, receivers)
        if (found.state !== undefined) await this.#dropRings(from, found.state.to)
        await this.#finish(to)
        return { from, to, ...counts, isResumed }
      }
      await this.#requireStopped()
      await this.#requireDrained(from)
      await this.#requireMemory()
      await this.#mark({ from, to, phase: 'copy' })
      try {
        await this.#requireStopped()
      } catch (error) {
        await this.#finish(from)
        throw error
      }
      await this.#clearStaged(Math.max(found.state?.to ?? 0, to), receivers)
      if (found.state !== undefined) await this.#dropRings(from, found.state.to)
      counts = await this.#copy(from, to, receivers)
      await this.#mark({ from, to, phase: 'switch' })
    }
    await this.#switch(from, to, receivers)
    await this.#dropRings(to, from)
    await this.#finish(to)
    return { from, to, ...counts, isResumed }
  }

  async #state() {
    const [format, partitions, text] = await this.#client.hmget(this.#keys.meta, 'format', 'partitions', 'repartition')
    const state = text == null ? undefined : (JSON.parse(text) as State)
    return { format: format ?? undefined, from: Number(partitions ?? PARTITIONS_DEFAULT), state }
  }

  /** No process of any version starts while the format is this one. */
  async #mark(state: State): Promise<void> {
    await this.#client.hset(this.#keys.meta, { format: REPARTITIONING, repartition: JSON.stringify(state) })
  }

  async #finish(partitions: number): Promise<void> {
    const { meta } = this.#keys
    const done = this.#client.multi().hset(meta, { format: FORMAT, partitions }).hdel(meta, 'repartition')
    await executed(done)
  }

  async #requireStopped(): Promise<void> {
    const now = Number((await this.#client.time())[0]) * 1000
    const reports = Object.entries(await this.#client.hgetall(this.#keys.processes))
    const running = reports.filter(([, report]) => Number(/^\d+/.exec(report)?.[0] ?? 0) > now).map(([name]) => name)
    if (running.length > 0) {
      throw new RepartitionRefused(
        `processes run, or ended without a word a moment ago: ${running.slice(0, 5).join(', ')}. Stop all gateways and analyzers, and try again`,
      )
    }
  }

  async #requireDrained(from: number): Promise<void> {
    for (let partition = 0; partition < from; partition++) {
      const at = this.#keys.partition(partition)
      if ((await this.#client.exists(at.lease)) > 0) {
        throw new RepartitionRefused(
          `an analyzer has the lease of partition ${partition}: stop all analyzers. The lease of one that was killed expires by itself (LEASE_TTL_MS)`,
        )
      }
      const accepted = Number((await this.#client.get(at.accepted)) ?? 0)
      const [id, offset] = await this.#client.hmget(at.checkpoint, 'id', 'offset')
      const rest = await this.#client.xrange(at.samples, `(${id ?? '0-0'}`, '+', 'COUNT', 1)
      if (accepted !== Number(offset ?? 0) || rest.length > 0) {
        const backlog = accepted - Number(offset ?? 0)
        throw new RepartitionRefused(
          `partition ${partition} has a backlog (${backlog} samples): run the analyzers without gateways until GET /overview shows a backlog of 0, then stop them`,
        )
      }
    }
  }

  async #requireMemory(): Promise<void> {
    const nodes = 'nodes' in this.#client ? this.#client.nodes('master') : [this.#client]
    for (const node of nodes) {
      // Without the right to INFO the operator has to know.
      const info = await node.info('memory').catch(() => '')
      const of = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
      const [used, max] = [of('used_memory'), of('maxmemory')]
      if (max > 0 && used * MEMORY_FACTOR > max) {
        throw new RepartitionRefused(
          `Redis uses ${mebibytes(used)} of maxmemory ${mebibytes(max)}, and all data is in it twice for a while: raise maxmemory to ${mebibytes(used * MEMORY_FACTOR)} until it is done`,
        )
      }
    }
  }

  /** The receivers of notifications, which are part of the names of keys. */
  async #receivers(from: number): Promise<ReadonlySet<string>> {
    const receivers = new Set<string>()
    for (let partition = 0; partition < from; partition++) {
      const at = this.#keys.partition(partition)
      for (const name of await this.#client.hkeys(at.outboxPositions)) receivers.add(name)
      for await (const [field, value] of this.#fields(at.alerts)) {
        if (field.startsWith('n:')) for (const name of Object.keys(parsed(value))) receivers.add(name)
      }
    }
    return receivers
  }

  /** The names of all keys that a partition can have, without what they begin with. */
  #namesOf(partition: number, receivers: ReadonlySet<string>): string[] {
    const at = this.#keys.partition(partition)
    const own = Object.values(at).map(key => key.slice(this.#rootOf(partition).length))
    return [...own, ...[...receivers].map(receiver => `outbox_retries:${receiver}`)]
  }

  #rootOf(partition: number): string {
    return `${this.#options.prefix}:{${partition}}:`
  }

  #staged(partition: number, name: string): string {
    return `${this.#rootOf(partition)}next:${name}`
  }

  async #clearStaged(to: number, receivers: ReadonlySet<string>): Promise<void> {
    for (let partition = 0; partition < to; partition++) {
      const names = this.#namesOf(partition, receivers).map(name => this.#staged(partition, name))
      await this.#client.unlink(`${this.#rootOf(partition)}${READY}`, ...names)
    }
  }

  /** Of the keys of `partitions`, drops the rings that are where they would be with `others`. */
  async #dropRings(partitions: number, others: number): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      for await (const [field] of this.#fields(this.#keys.partition(partition).aggregates)) {
        const key = field.startsWith(SHADOW) ? field.slice(SHADOW.length) : field
        const other = partitionOf(key, others)
        if (other !== partition) await this.#client.unlink(...ringsOf(this.#keys.partition(other), key))
      }
    }
  }

  /** Replaces the data of each partition by the new one; of a partition that did so, nothing. */
  async #switch(from: number, to: number, receivers: ReadonlySet<string>): Promise<void> {
    const all = Math.max(from, to)
    for (let partition = 0; partition < all; partition++) {
      this.#options.onProgress(
        this.#total * (partition / all),
        this.#total,
        `replacing partition ${partition} of ${all}`,
      )
      const root = this.#rootOf(partition)
      const isNew = partition < to
      if (isNew && (await this.#client.exists(root + READY)) === 0) continue
      const transaction = this.#client.multi()
      for (const name of this.#namesOf(partition, receivers)) {
        const staged = this.#staged(partition, name)
        if (isNew && (await this.#client.exists(staged)) > 0) transaction.rename(staged, root + name)
        else transaction.unlink(root + name)
      }
      transaction.unlink(root + READY)
      await executed(transaction)
    }
  }

  async #copy(from: number, to: number, receivers: ReadonlySet<string>): Promise<{ keys: number; alerts: number }> {
    const copy = new Copy(this.#client, { from, to, keys: this.#keys, staged: (q, name) => this.#staged(q, name) })
    this.#total = from + 1
    this.#done = 0
    const step = (text: string): void => this.#options.onProgress(this.#done++, this.#total, text)
    const alerts = await copy.findAlerts()
    for (let partition = 0; partition < from; partition++) {
      step(`copying partition ${partition} of ${from}`)
      await copy.partition(partition, receivers)
    }
    step('copying streams')
    await copy.streams()
    await copy.finish(receivers)
    const keys = await copy.verify()
    for (let partition = 0; partition < to; partition++) {
      await this.#client.set(`${this.#rootOf(partition)}${READY}`, '1')
    }
    return { keys, alerts }
  }

  async *#fields(key: string): AsyncGenerator<[string, string]> {
    for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', key)) yield [String(field), String(value)]
  }
}

interface CopyOptions {
  readonly from: number
  readonly to: number
  readonly keys: ReturnType<typeof keysUnder>
  readonly staged: (partition: number, name: string) => string
}

type Name = keyof PartitionKeys

/** Hashes by key, or by key after SHADOW. */
const KEYED_HASHES = [
  'windows',
  'windowTails',
  'guardMemories',
  'lastAnalysis',
  'keyAlerts',
  'keys',
  'aggregates',
] as const satisfies readonly Name[]

/** The names of the rings of a key's aggregates, which are keys of Redis of their own. */
function ringsOf({ aggregatesHours, aggregatesDays }: PartitionKeys, key: string): string[] {
  return [`${aggregatesHours}:${key}`, `${aggregatesDays}:${key}`]
}

/** Where an alert goes, and its id there. */
interface MovedAlert {
  readonly partition: number
  readonly id: string
}

/** Writes the data of all partitions to where it will be. */
class Copy {
  readonly #client: Client
  readonly #options: CopyOptions
  readonly #alerts = new Map<string, MovedAlert>()
  readonly #writes = new Map<number, { commander: ChainableCommander; commands: number }>()
  readonly #checkpoints = new Map<number, Map<string, number>>()
  /** The newest entry of any partition: all receipts are older. */
  #newest: EntryId = '0-0'
  #rulesVersion = 0
  /** By partition and rule: counts of alerts by day and name. */
  readonly #ruleAlerts = new Map<number, Map<string, Map<string, AlertCount>>>()
  /** Receivers with pending notifications. */
  readonly #behind = new Set<string>()
  readonly #deletions = new Map<string, string>()

  constructor(client: Client, options: CopyOptions) {
    this.#client = client
    this.#options = options
  }

  /** Finds out where each alert goes; returns how many there are. */
  async findAlerts(): Promise<number> {
    for (let partition = 0; partition < this.#options.from; partition++) {
      for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', this.#source(partition, 'alerts'))) {
        const id = String(field).slice(2)
        if (!String(field).startsWith('o:')) continue
        const { key } = parsed(String(value))
        const target = typeof key === 'string' ? this.#partitionOf(key) : partition
        // An alert of the whole fleet has no key, and stays where it is.
        this.#alerts.set(id, {
          partition: target,
          id: typeof key === 'string' ? id.replace(/^\d+/, String(target)) : id,
        })
      }
    }
    return this.#alerts.size
  }

  async partition(partition: number, receivers: ReadonlySet<string>): Promise<void> {
    const source = (name: Name): string => this.#source(partition, name)
    for (const name of KEYED_HASHES) {
      for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', source(name))) {
        const text = String(field)
        const key = text.startsWith(SHADOW) ? text.slice(1) : text
        const target = this.#partitionOf(key)
        const moved = name === 'lastAnalysis' ? withReceiptOf(target, String(value)) : value
        await this.#write(target, one => one.hset(this.#target(target, name), field, moved))
        if (name === 'aggregates' && text === key) await this.#copyRings(partition, target, key)
        const owner = name === 'keys' ? /^\d+ (.*)$/s.exec(String(value))?.[1] : undefined
        if (owner !== undefined)
          await this.#write(target, one => one.hincrby(this.#target(target, 'keyOwners'), owner, 1))
      }
    }
    for await (const [key, at] of pagesOf(this.#client, 'zscanBuffer', source('timers'))) {
      const target = this.#partitionOf(String(key))
      await this.#write(target, one => one.zadd(this.#target(target, 'timers'), String(at), key))
    }
    await this.#copyAlerts(partition, receivers)
    await this.#copyCounters(partition)
  }

  /** Under their final names: in that partition, no version reads them before the switch. */
  async #copyRings(partition: number, target: number, key: string): Promise<void> {
    if (target === partition) return
    const { keys } = this.#options
    const to = ringsOf(keys.partition(target), key)
    for (const [i, from] of ringsOf(keys.partition(partition), key).entries()) {
      const ring = await this.#client.getBuffer(from)
      if (ring !== null) await this.#write(target, one => one.set(to[i] as string, ring))
    }
  }

  async #copyAlerts(partition: number, receivers: ReadonlySet<string>): Promise<void> {
    for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', this.#source(partition, 'alerts'))) {
      const [part, id] = [String(field).slice(0, 2), String(field).slice(2)]
      const moved = this.#alerts.get(id)
      if (moved === undefined) continue
      const text = part === 'o:' ? String(value).replace(`"id":"${id}"`, `"id":"${moved.id}"`) : value
      await this.#write(moved.partition, one =>
        one.hset(this.#target(moved.partition, 'alerts'), part + moved.id, text),
      )
    }
    const sets = ['alertsFiring', 'alertsResolved', 'notificationChecks'] as const
    const suffixes: [string, string][] = sets.map(name => [this.#source(partition, name), name])
    for (const receiver of receivers)
      suffixes.push([`${this.#source(partition, 'outboxRetries')}:${receiver}`, receiver])
    for (const [source, name] of suffixes) {
      for await (const [id, score] of pagesOf(this.#client, 'zscanBuffer', source)) {
        const moved = this.#alerts.get(String(id))
        if (moved === undefined) continue
        const target = sets.some(one => one === name)
          ? this.#target(moved.partition, name as Name)
          : `${this.#target(moved.partition, 'outboxRetries')}:${name}`
        await this.#write(moved.partition, one => one.zadd(target, String(score), moved.id))
      }
    }
  }

  /** What belongs to no key goes on in any partition: readers add it up. */
  async #copyCounters(partition: number): Promise<void> {
    const target = partition % this.#options.to
    const sums = this.#checkpoints.get(target) ?? new Map<string, number>()
    this.#checkpoints.set(target, sums)
    const add = (name: string, text: string | null | undefined): void =>
      void sums.set(name, (sums.get(name) ?? 0) + (Number(text ?? 0) || 0))
    const stored = await this.#client.hgetall(this.#source(partition, 'checkpoint'))
    for (const name of ['offset', 'analysed', 'dead', 'evicted']) add(name, stored[name])
    add('accepted', await this.#client.get(this.#source(partition, 'accepted')))
    this.#rulesVersion = Math.max(this.#rulesVersion, Number(stored.rules ?? 0) || 0)
    this.#seen(stored.id)
    this.#seen(await lastIdOf(this.#client, this.#source(partition, 'samples')))
    for (const name of ['keyBirths', 'ruleCounts'] as const) {
      for (const [field, count] of Object.entries(await this.#client.hgetall(this.#source(partition, name)))) {
        if (!/^-?\d{1,15}$/.test(count)) continue
        await this.#write(target, one => one.hincrby(this.#target(target, name), field, count))
      }
    }
    for (const [rule, text] of Object.entries(await this.#client.hgetall(this.#source(partition, 'ruleAlerts')))) {
      const rules = this.#ruleAlerts.get(target) ?? new Map<string, Map<string, AlertCount>>()
      this.#ruleAlerts.set(target, rules)
      rules.set(rule, added(rules.get(rule) ?? new Map(), text))
    }
    for (const [receiver, id] of Object.entries(
      await this.#client.hgetall(this.#source(partition, 'outboxPositions')),
    )) {
      const newest = await lastIdOf(this.#client, this.#source(partition, 'outbox'))
      if (compareEntryIds(id as EntryId, newest) < 0) this.#behind.add(receiver)
    }
    for (const [field, value] of Object.entries(await this.#client.hgetall(this.#source(partition, 'keyDeletions')))) {
      if (field.startsWith('n:')) {
        await this.#write(target, one => one.hincrby(this.#target(target, 'keyDeletions'), field, Number(value) || 0))
      } else this.#deletions.set(field, value)
    }
    if (partition === 0) await this.#copyStorm()
  }

  /** Its counts go on; feeds that were merged begin at their ends. */
  async #copyStorm(): Promise<void> {
    const text = await this.#client.get(this.#source(0, 'storm'))
    if (text === null) return
    const now = `${(await this.#client.time())[0]}000-0`
    const positions = Object.fromEntries(Array.from({ length: this.#options.to }, (_, i) => [i, now]))
    await this.#client.set(this.#target(0, 'storm'), JSON.stringify({ ...parsed(text), positions }))
  }

  async streams(): Promise<void> {
    const byKey = (fields: Map<string, string>): number | undefined => {
      const { key } = parsed(fields.get('a') ?? '')
      return typeof key === 'string' ? this.#partitionOf(key) : undefined
    }
    for (const name of ['anomalies', 'shadowed'] as const) {
      await this.#merge(name, fields => {
        const target = byKey(fields)
        if (target === undefined) return []
        return [[target, new Map(fields).set('a', withReceiptOf(target, fields.get('a') ?? ''))]]
      })
    }
    for (const name of ['alertFeed', 'alertChanges', 'outbox', 'deadNotifications'] as const) {
      await this.#merge(name, fields => {
        const moved = this.#alerts.get(fields.get('a') ?? '')
        return moved === undefined ? [] : [[moved.partition, new Map(fields).set('a', moved.id)]]
      })
    }
    await this.#merge('deadLetters', (fields, partition) => this.#splitLetter(fields, partition))
  }

  /** A dead letter has samples of keys that may go to several partitions. */
  #splitLetter(fields: Map<string, string>, partition: number): [number, Map<string, string>][] {
    const stays: [number, Map<string, string>][] = [[partition % this.#options.to, fields]]
    const unpacked = unpackSamples(fields.get('s') ?? '')
    if (unpacked.kind === 'unreadable') return stays
    const parts = new Map<number, (string | number)[]>()
    for (let i = 0; i < unpacked.samples.length; i += SAMPLE_STRIDE) {
      const sample = unpacked.samples.slice(i, i + SAMPLE_STRIDE)
      const target = this.#partitionOf(String(sample[0]))
      parts.set(target, [...(parts.get(target) ?? []), ...sample])
    }
    if (parts.size === 0) return stays
    return [...parts].map(([target, samples]) => [target, new Map(fields).set('s', packFlat(samples))])
  }

  /** Merges the streams of all partitions by their ids. */
  async #merge(
    name: Name,
    targetsOf: (fields: Map<string, string>, partition: number) => [number, Map<string, string>][],
  ): Promise<void> {
    const { from } = this.#options
    const sources = Array.from({ length: from }, (_, partition) =>
      entriesOf(this.#client, this.#source(partition, name)),
    )
    const heads = await Promise.all(sources.map(source => source.next()))
    const last = new Map<number, EntryId>()
    for (;;) {
      let first = -1
      for (const [i, head] of heads.entries()) {
        if (head.done === true) continue
        const best = heads[first]
        if (best === undefined || best.done === true || compareEntryIds(head.value.id, best.value.id) < 0) first = i
      }
      const head = heads[first]
      const source = sources[first]
      if (head === undefined || head.done === true || source === undefined) return
      for (const [target, fields] of targetsOf(head.value.fields, first)) {
        const id = idAfter(last.get(target), head.value.id)
        last.set(target, id)
        await this.#write(target, one => one.xadd(this.#target(target, name), id, ...[...fields].flat()))
      }
      heads[first] = await source.next()
    }
  }

  /** Writes what all partitions together decide. */
  async finish(receivers: ReadonlySet<string>): Promise<void> {
    const { to } = this.#options
    for (let target = 0; target < to; target++) {
      const { accepted = 0, ...sums } = Object.fromEntries(this.#checkpoints.get(target) ?? [])
      const checkpoint = { id: this.#newest, offset: 0, analysed: 0, ...sums, attempt: '', rules: this.#rulesVersion }
      await this.#write(target, one => one.hset(this.#target(target, 'checkpoint'), checkpoint))
      await this.#write(target, one => one.set(this.#target(target, 'accepted'), accepted))
      // The next entry is newer than all receipts there are, so those lead to the newest analysis.
      const samples = this.#target(target, 'samples')
      await this.#write(target, one => one.xgroup('CREATE', samples, GROUP, this.#newest, 'MKSTREAM'))
      await this.#write(target, one => one.xgroup('CREATECONSUMER', samples, GROUP, CONSUMER))
      if (this.#newest !== '0-0') await this.#write(target, one => one.call('XSETID', samples, this.#newest) as never)
      for (const [rule, counts] of this.#ruleAlerts.get(target) ?? []) {
        const sorted = [...counts.values()].toSorted(([a], [b]) => a - b)
        await this.#write(target, one => one.hset(this.#target(target, 'ruleAlerts'), rule, JSON.stringify(sorted)))
      }
      for (const [field, value] of this.#deletions) {
        await this.#write(target, one => one.hset(this.#target(target, 'keyDeletions'), field, value))
      }
    }
    await this.#flushAll()
    for (let target = 0; target < to; target++) {
      const end = await lastIdOf(this.#client, this.#target(target, 'outbox'))
      for (const receiver of receivers) {
        // One that has not taken all gets all again: at least once.
        const position = this.#behind.has(receiver) ? '0-0' : end
        await this.#client.hset(this.#target(target, 'outboxPositions'), receiver, position)
      }
    }
  }

  /** Counts what there was and what was written; returns the number of keys. */
  async verify(): Promise<number> {
    const { from, to } = this.#options
    let keys = 0
    const hashes = ['windows', 'windowTails', 'guardMemories', 'lastAnalysis', 'keys', 'keyAlerts'] as const
    const sets = ['timers', 'alertsFiring', 'alertsResolved'] as const
    for (const name of [...hashes, ...sets]) {
      const size = (key: string) =>
        hashes.some(one => one === name) ? this.#client.hlen(key) : this.#client.zcard(key)
      const before = await sum(from, partition => size(this.#source(partition, name)))
      const after = await sum(to, partition => size(this.#target(partition, name)))
      if (before !== after) {
        throw new Error(
          `${before} of ${name} were there, and ${after} were copied. The data is unchanged; run the command again, and report this if it fails again`,
        )
      }
      if (name === 'lastAnalysis') keys = after
    }
    return keys
  }

  #seen(id: string | undefined): void {
    if (id !== undefined && compareEntryIds(id as EntryId, this.#newest) > 0) this.#newest = id as EntryId
  }

  #partitionOf(key: string): number {
    return partitionOf(key, this.#options.to)
  }

  #source(partition: number, name: Name): string {
    return this.#options.keys.partition(partition)[name]
  }

  #target(partition: number, name: Name): string {
    const key = this.#source(partition, name)
    return this.#options.staged(partition, key.slice(key.indexOf('}:') + 2))
  }

  /** Adds a command; those of one partition are sent together. */
  async #write(partition: number, command: (commander: ChainableCommander) => unknown): Promise<void> {
    const write = this.#writes.get(partition) ?? { commander: this.#client.pipeline(), commands: 0 }
    this.#writes.set(partition, write)
    command(write.commander)
    if (++write.commands >= PAGE) await this.#flush(partition)
  }

  async #flush(partition: number): Promise<void> {
    const write = this.#writes.get(partition)
    this.#writes.delete(partition)
    if (write !== undefined) await executed(write.commander)
  }

  async #flushAll(): Promise<void> {
    for (const partition of [...this.#writes.keys()]) await this.#flush(partition)
  }
}

/** Day, name, opened, useful, noise; see lua/include/alert-counts.lua. */
type AlertCount = [day: number, name: string, opened: number, useful: number, noise: number]

function added(counts: Map<string, AlertCount>, text: string): Map<string, AlertCount> {
  const stored = parsed(text)
  for (const [day, name, ...numbers] of (Array.isArray(stored) ? stored : []) as AlertCount[]) {
    const at = `${day} ${name}`
    const [, , opened = 0, useful = 0, noise = 0] = counts.get(at) ?? []
    const [moreOpened = 0, moreUseful = 0, moreNoise = 0] = numbers
    counts.set(at, [day, name, opened + moreOpened, useful + moreUseful, noise + moreNoise])
  }
  return counts
}

/** The receipt of a key's newest analysis is of the partition of its key. */
function withReceiptOf(partition: number, analysis: string): string {
  return analysis.replace(/,"id":"\d+:/, `,"id":"${partition}:`)
}

function parsed(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

/** Ids of a stream rise. */
function idAfter(last: EntryId | undefined, id: EntryId): EntryId {
  if (last === undefined || compareEntryIds(id, last) > 0) return id
  const [ms, seq] = last.split('-')
  return `${ms}-${Number(seq) + 1}` as EntryId
}

async function lastIdOf(client: Client, stream: string): Promise<EntryId> {
  if ((await client.exists(stream)) === 0) return '0-0'
  const info = (await client.xinfo('STREAM', stream)) as unknown[]
  return String(info[info.indexOf('last-generated-id') + 1]) as EntryId
}

async function* entriesOf(client: Client, stream: string) {
  for (let from = '-'; ; ) {
    const page = await client.xrange(stream, from, '+', 'COUNT', PAGE)
    for (const [id, flat] of page) {
      const fields = new Map<string, string>()
      for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '')
      yield { id: id as EntryId, fields }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    from = `(${last[0]}`
  }
}

/** The fields of a hash or members of a sorted set. Nothing changes them meanwhile. */
async function* pagesOf(client: Client, scan: 'hscanBuffer' | 'zscanBuffer', key: string) {
  let cursor = '0'
  const seen = new Set<string>()
  do {
    const [next, flat] = await client[scan](key, cursor, 'COUNT', PAGE)
    cursor = String(next)
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const [field, value] = [flat[i] as Buffer, flat[i + 1] as Buffer]
      // A scan may return a field twice.
      const name = field.toString('latin1')
      if (seen.has(name)) continue
      seen.add(name)
      yield [field, value] as const
    }
  } while (cursor !== '0')
}

async function executed(commands: ChainableCommander): Promise<void> {
  for (const [error] of (await commands.exec()) ?? []) if (error !== null) throw error
}

async function sum(partitions: number, of: (partition: number) => Promise<number>): Promise<number> {
  let total = 0
  for (let partition = 0; partition < partitions; partition++) total += await of(partition)
  return total
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MiB`
}
