import { createHash } from 'node:crypto'
import { readScript, scriptNames } from '@tidemark/shared/store/redis/lua-source'
import type { RawCommand } from './resp.ts'

/** A parsed Redis command, as faults match it. */
export interface Command extends RawCommand {
  /**
   * The name of our script, or the command in lower case. A stream read is `read` if it requests
   * new entries and `pending` if it requests entries delivered before.
   */
  readonly name: string
  /** The partition of the first key; undefined if the key belongs to none. */
  readonly partition: number | undefined
}

/**
 * Names the commands of one connection. Of a commit that is sent as a transaction, the script that
 * only checks is `check`, the queued one `queued`, and EXEC is the commit: it has its arguments,
 * and its reply ends with that of the script.
 */
export class CommandNames {
  /** Of the open transaction. */
  #queued: Command | undefined

  next(raw: RawCommand): Command {
    const command = toCommand(raw)
    const queued = this.#queued
    if (command.name === 'commit') {
      const step = command.args.find(arg => STEPS.has(arg.toString('latin1', 0, 8)))?.toString()
      if (step === 'check') return { ...command, name: 'check' }
      if (step !== 'apply') return command
      this.#queued = command
      return { ...command, name: 'queued' }
    }
    if (command.name !== 'exec' && command.name !== 'discard') return command
    this.#queued = undefined
    return queued === undefined || command.name === 'discard' ? command : { ...queued, bytes: raw.bytes }
  }
}

/** The steps of commit.lua. No key or id is equal to one of them. */
const STEPS = new Set(['all', 'check', 'apply'])

/** Script names by SHA-1. ioredis sends the text once per connection, then only the digest. */
const scripts = new Map(scriptNames().map(name => [readScript(name).sha, name]))

const KEY_OF_PARTITION = /\{(\d+)\}/

export function toCommand(raw: RawCommand): Command {
  const word = String(raw.args[0] ?? '').toLowerCase()
  const isScript = word === 'eval' || word === 'evalsha'
  const key = raw.args[isScript ? 3 : word === 'xreadgroup' ? raw.args.length - 2 : 1]
  return { ...raw, name: nameOf(raw, word), partition: key === undefined ? undefined : partitionOf(key) }
}

/** Returns the partitions whose leases a call of renew.lua has extended. */
export function renewedPartitions({ args }: RawCommand, reply: Buffer): number[] {
  const leases = args.slice(3, 3 + Number(args[2]))
  const renewed = Array.from(reply.toString('latin1').matchAll(/:(\d)\r\n/g), ([, one]) => one === '1')
  return leases.flatMap((lease, i) => (renewed[i] === true ? (partitionOf(lease) ?? []) : []))
}

/** What a call of append.lua or append-once.lua appends: the number of samples of each entry. */
export function entriesOf({ args }: RawCommand): { readonly partition: number; readonly count: number }[] {
  const keyCount = Number(args[2])
  const keys = args.slice(3, 3 + keyCount)
  const [, ...values] = args.slice(3 + keyCount)
  return keys.flatMap((key, i) => {
    const partition = key.toString('latin1').endsWith(':samples') ? partitionOf(key) : undefined
    return partition === undefined ? [] : [{ partition, count: Number(String(values[4 * (i / 3) + 1])) }]
  })
}

function partitionOf(key: Buffer): number | undefined {
  const match = KEY_OF_PARTITION.exec(key.toString('latin1', 0, 64))
  return match === null ? undefined : Number(match[1])
}

function nameOf({ args }: RawCommand, word: string): string {
  if (word === 'xreadgroup') return String(args.at(-1)) === '>' ? 'read' : 'pending'
  const [, script] = args
  if (script === undefined) return word
  if (word === 'evalsha') return scripts.get(script.toString('latin1')) ?? word
  if (word === 'eval') return scripts.get(digest(script)) ?? word
  return word
}

function digest(text: Buffer): string {
  return createHash('sha1').update(text).digest('hex')
}
