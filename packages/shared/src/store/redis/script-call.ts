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
 * A command whose last arguments are encoded, for the hot paths. ioredis measures and copies each
 * argument three times: a commit would cost more than the analyzer's verdicts, and an append a
 * third of what a sample of a large request costs the gateway.
 */
export class EncodedCommand extends Command {
  readonly #words: readonly string[]
  readonly #arguments: EncodedArguments

  /** `words` are the first arguments: ioredis finds the slot of a cluster in them. */
  constructor(name: string, words: readonly string[], args: EncodedArguments) {
    super(name, [...words], { replyEncoding: 'utf8' })
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

/**
 * Runs a script; sends its text if Redis does not know it, which lets later commands overtake it,
 * or `withText` from the start. Replies are text.
 */
export async function callScript(
  client: Client,
  { lua, sha }: LuaScript,
  keys: readonly string[],
  args: EncodedArguments,
  { withText = false } = {},
): Promise<unknown> {
  const words = [String(keys.length), ...keys]
  try {
    if (withText) return await client.sendCommand(new EncodedCommand('eval', [lua, ...words], args))
    return await client.sendCommand(new EncodedCommand('evalsha', [sha, ...words], args))
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.sendCommand(new EncodedCommand('eval', [lua, ...words], args))
  }
}
