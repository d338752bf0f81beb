import { Command } from 'ioredis'
import type { Client } from './connection.ts'
import type { LuaScript } from './lua-source.ts'

/** Arguments in their wire format: `count` RESP bulk strings. */
export interface EncodedArguments {
  readonly count: number
  /** Returns all of them after `head`, which is the rest of the command. */
  after(head: string): Buffer
}

/**
 * A call with encoded arguments, for the hot paths. ioredis measures and copies each argument three
 * times: a commit would cost more than the analyzer's verdicts, and an append a third of what a
 * sample of a large request costs the gateway.
 */
class ScriptCall extends Command {
  readonly #words: readonly string[]
  readonly #arguments: EncodedArguments

  constructor(call: 'evalsha' | 'eval', script: string, keys: readonly string[], args: EncodedArguments) {
    const words = [script, String(keys.length), ...keys]
    // What ioredis needs to know: enough to find the cluster's slot.
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

/** Runs a script; sends its text if Redis does not know it. Replies are text. */
export async function callScript(
  client: Client,
  { lua, sha }: LuaScript,
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
