import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Command } from 'ioredis'
import type { Client } from './connection.ts'

/** A script whose calls encode themselves. */
export interface EncodedScript {
  readonly lua: string
  readonly sha: string
}

/** Arguments as they go over the wire: so many RESP bulk strings. */
export interface EncodedArguments {
  readonly count: number
  /** All of them after `head`, which is the rest of the command. */
  after(head: string): Buffer
}

export function readScript(name: 'append' | 'append-once' | 'commit'): EncodedScript {
  const lua = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * A call whose arguments are encoded already: of the hot paths, whose arguments are many or large. ioredis measures and copies
 * each three times, and with its own commands spends more on a commit than the analyzer on its verdicts, and on an append a
 * third of what a sample of a large request costs the gateway.
 */
class ScriptCall extends Command {
  readonly #words: readonly string[]
  readonly #arguments: EncodedArguments

  constructor(call: 'evalsha' | 'eval', script: string, keys: readonly string[], args: EncodedArguments) {
    const words = [script, String(keys.length), ...keys]
    // What ioredis knows of it: enough to find the cluster's slot.
    super(call, words, { replyEncoding: 'utf8' })
    this.#words = words
    this.#arguments = args
  }

  override toWritable(): Buffer {
    let head = `*${this.#words.length + 1 + this.#arguments.count}\r\n${bulkString(this.name)}`
    for (const word of this.#words) head += bulkString(word)
    return this.#arguments.after(head)
  }
}

export function bulkString(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** Runs a script; gives its text where Redis does not know it. Replies are text. */
export async function callScript(
  client: Client,
  { lua, sha }: EncodedScript,
  keys: readonly string[],
  args: EncodedArguments,
): Promise<unknown> {
  try {
    return await client.sendCommand(new ScriptCall('evalsha', sha, keys, args))
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.sendCommand(new ScriptCall('eval', lua, keys, args))
  }
}
