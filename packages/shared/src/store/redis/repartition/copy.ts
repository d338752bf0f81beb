import type { ChainableCommander } from 'ioredis'
import { packFlat, SAMPLE_STRIDE, unpackSamples } from '../../../sample/entry.ts'
import { partitionOf } from '../../../sample/partition.ts'
import { compareEntryIds, type EntryId } from '../../../sample/receipt.ts'
import { CONSUMER, GROUP, type Keys } from '../../keys.ts'
import type { Client } from '../connection.ts'
import { keyOf, type Name, namesThat, ringsOf } from './moves.ts'
import { entriesOf, executed, idAfter, lastIdOf, PAGE, pagesOf, parsed, sum } from './reading.ts'

interface CopyOptions {
  readonly from: number
  readonly to: number
  readonly keys: Keys
  readonly staged: (partition: number, name: string) => string
}

/** Where an alert goes, and its id there. */
interface MovedAlert {
  readonly partition: number
  readonly id: string
}

/** Writes the data of all partitions to where it will be. */
export class Copy {
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
    for (const name of namesThat('hash by key')) {
      for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', source(name))) {
        const text = String(field)
        const key = keyOf(text)
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
    const sets = namesThat('set by alert')
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
    for (const name of namesThat('sums')) {
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
    for (const name of namesThat('stream by key')) {
      await this.#merge(name, fields => {
        const target = byKey(fields)
        if (target === undefined) return []
        return [[target, new Map(fields).set('a', withReceiptOf(target, fields.get('a') ?? ''))]]
      })
    }
    for (const name of namesThat('stream by alert')) {
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
