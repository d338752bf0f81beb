import { Cluster, type Redis } from 'ioredis'
import { pause } from '../../runtime/lifecycle.ts'
import { DurabilityMismatch } from '../ports/errors.ts'
import type { DurabilityLevel } from '../ports/store.ts'
import type { Client } from './connection.ts'
import { asked } from './errors.ts'

/** Somebody may change a Redis while it runs, and a fail-over puts another one in its place. */
const CHECK_EVERY_MS = 5000

/** ...and while something is amiss nobody's samples are taken. */
const CHECK_AGAIN_MS = 500

/** What one Redis says of itself, as far as durability goes. */
export interface RedisFacts {
  /** For sentences: `Redis`, or which one of a cluster. */
  readonly name: string
  readonly evictionPolicy: string
  readonly isAppendOnly: boolean
  /** Those that follow the primary closely. */
  readonly replicas: number
  /** Undefined when Redis does not let us look. */
  readonly config:
    | { readonly appendfsync: string; readonly skipsFsyncOnRewrite: boolean; readonly minReplicas: number }
    | undefined
}

export interface Judgement {
  /** What the level needs and is not given: sentences for the operator. */
  readonly faults: readonly string[]
  /** The same, where it may come back by itself and every append finds out whether it is there. */
  readonly outages: readonly string[]
  readonly warnings: readonly string[]
}

/** Whether a Redis gives what `level` promises. docs/decisions/0011 says what each level survives. */
export function judgeDurability(level: DurabilityLevel, facts: RedisFacts): Judgement {
  const { name, evictionPolicy, isAppendOnly, replicas, config } = facts
  const faults: string[] = []
  const outages: string[] = []
  const warnings: string[] = []
  const other = ', or DURABILITY to a lower level'
  if (evictionPolicy !== 'noeviction') {
    faults.push(
      `${name} has maxmemory-policy ${evictionPolicy} and would drop accepted samples to make room: set it to noeviction.`,
    )
  }
  if (level === 'memory') return { faults, outages, warnings }
  if (!isAppendOnly) {
    const sentence = `${name} has appendonly no, so a restart of it loses everything: set it to yes`
    if (level === 'local') warnings.push(`${sentence}, or DURABILITY to memory if that is meant so.`)
    else faults.push(`DURABILITY is ${level}, and ${sentence}${other}.`)
  }
  if (level === 'replicated' && replicas < 1) {
    outages.push(`DURABILITY is replicated, and ${name} has no replica that is online: connect one${other}.`)
  }
  if (config === undefined) {
    warnings.push(`${name} does not let us read its settings (CONFIG GET is denied): ${uncheckedSettings(level)}.`)
    return { faults, outages, warnings }
  }
  if (isAppendOnly && level === 'disk' && config.appendfsync !== 'always') {
    faults.push(`DURABILITY is disk, and ${name} has appendfsync ${config.appendfsync}: set it to always${other}.`)
  }
  if (isAppendOnly && config.skipsFsyncOnRewrite) {
    const sentence = `${name} has no-appendfsync-on-rewrite yes and stops writing to disk during a rewrite: set it to no`
    if (level === 'disk') faults.push(`DURABILITY is disk, and ${sentence}${other}.`)
    else warnings.push(`${sentence}.`)
  }
  if (level === 'replicated' && config.minReplicas < 1) {
    faults.push(`DURABILITY is replicated, and ${name} has min-replicas-to-write 0: set it to at least 1${other}.`)
  }
  return { faults, outages, warnings }
}

function uncheckedSettings(level: Exclude<DurabilityLevel, 'memory'>): string {
  switch (level) {
    case 'local':
      return 'see to it yourself that no-appendfsync-on-rewrite is no'
    case 'disk':
      return 'see to it yourself that appendfsync is always and no-appendfsync-on-rewrite is no'
    case 'replicated':
      return 'see to it yourself that min-replicas-to-write is at least 1'
  }
}

/** Asks a Redis about itself. */
export async function readRedisFacts(node: Redis, name: string): Promise<RedisFacts> {
  const info = await node.info()
  const field = (key: string): string => new RegExp(`^${key}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  return {
    name,
    evictionPolicy: field('maxmemory_policy'),
    isAppendOnly: field('aof_enabled') === '1',
    replicas: info.match(/^slave\d+:.*state=online/gm)?.length ?? 0,
    config: await readSettings(node),
  }
}

async function readSettings(node: Redis): Promise<RedisFacts['config']> {
  let flat: string[]
  try {
    const wanted = ['appendfsync', 'no-appendfsync-on-rewrite', 'min-replicas-to-write']
    flat = (await node.call('CONFIG', 'GET', ...wanted)) as string[]
  } catch (error) {
    // NOPERM by an ACL; a hosted Redis may not know the command at all.
    if (error instanceof Error && /^(NOPERM|ERR unknown)/.test(error.message)) return undefined
    throw error
  }
  const value = (key: string): string => flat[flat.indexOf(key) + 1] ?? ''
  return {
    appendfsync: value('appendfsync'),
    skipsFsyncOnRewrite: value('no-appendfsync-on-rewrite') === 'yes',
    minReplicas: Number(value('min-replicas-to-write')),
  }
}

export interface DurabilityGuard extends AsyncDisposable {
  /** Why samples must not be taken at present; undefined when they may. */
  readonly fault: string | undefined
}

export interface DurabilityGuardOptions {
  readonly client: Client
  readonly level: DurabilityLevel
  /** Told each sentence once, until something else is to be said. */
  readonly onWarning: (sentence: string) => void
}

/**
 * Compares what Redis says of itself with the level: before anything is taken (rejects with a DurabilityMismatch when it
 * falls short), after each reconnect, and now and then, for a Redis can be changed while it runs. In a cluster every
 * primary that can be reached is asked; appends to one that cannot fail by themselves.
 */
export async function guardDurability({ client, level, onWarning }: DurabilityGuardOptions): Promise<DurabilityGuard> {
  const stop = new AbortController()
  let wake = new AbortController()
  let fault: string | undefined
  let warned = ''

  async function check(): Promise<Judgement> {
    const facts = await asked(() => allFacts(client))
    const all = facts.map(one => judgeDurability(level, one))
    return {
      faults: all.flatMap(({ faults }) => faults),
      outages: all.flatMap(({ outages }) => outages),
      warnings: all.flatMap(({ warnings }) => warnings),
    }
  }

  /** Once, and again when something else was to be said in between. */
  function warn(sentences: readonly string[]): void {
    const text = sentences.join(' ')
    if (text !== warned && text !== '') onWarning(text)
    warned = text
  }

  function become(next: string | undefined): void {
    if (next === fault) return
    if (next !== undefined) onWarning(`samples are refused: ${next}`)
    else onWarning(`samples are taken again: Redis gives what DURABILITY ${level} needs`)
    fault = next
  }

  const onClose = (): void => {
    // What comes back may be another Redis. No sentence about that: the trouble with the connection has its own.
    fault ??= UNCHECKED
  }
  const onReady = (): void => wake.abort()

  async function watch(): Promise<void> {
    while (!stop.signal.aborted) {
      wake = new AbortController()
      await pause(fault === undefined ? CHECK_EVERY_MS : CHECK_AGAIN_MS, AbortSignal.any([stop.signal, wake.signal]))
      if (stop.signal.aborted) return
      try {
        const { faults, outages, warnings } = await check()
        // A primary without a replica refuses by itself, or does not confirm: no reason to refuse for the others too.
        warn([...outages, ...warnings])
        if (faults.length > 0) become(faults.join(' '))
        else if (fault === UNCHECKED) fault = undefined
        else become(undefined)
      } catch {
        // Redis is away: whoever appends learns of that, and it is asked again when it is back.
      }
    }
  }

  const atStart = await check()
  const lacking = [...atStart.faults, ...atStart.outages]
  if (lacking.length > 0) throw new DurabilityMismatch(lacking.join(' '))
  warn(atStart.warnings)
  if (!(client instanceof Cluster)) client.on('close', onClose)
  client.on('ready', onReady)
  client.on('+node', onReady)
  const watching = watch()
  return {
    get fault() {
      return fault
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      client.off('close', onClose)
      client.off('ready', onReady)
      client.off('+node', onReady)
      await watching
    },
  }
}

const UNCHECKED = 'Redis was away and has not been asked yet what it keeps'

async function allFacts(client: Client): Promise<RedisFacts[]> {
  if (!(client instanceof Cluster)) return [await readRedisFacts(client, 'Redis')]
  const nodes = client.nodes('master').filter(({ status }) => status === 'ready')
  const found = await Promise.allSettled(
    nodes.map(node => readRedisFacts(node, `Redis at ${node.options.host}:${node.options.port}`)),
  )
  const facts = found.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const failure = found.find(result => result.status === 'rejected')
  if (facts.length === 0 && failure !== undefined) throw failure.reason
  return facts
}
