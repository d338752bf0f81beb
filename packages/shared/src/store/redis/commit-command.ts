import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Command } from 'ioredis'
import type { Client } from './connection.ts'
import type { RespArguments } from './resp-arguments.ts'

const lua = readFileSync(new URL('./lua/commit.lua', import.meta.url), 'utf8')
const sha = createHash('sha1').update(lua).digest('hex')

/**
 * A call of commit.lua whose arguments are encoded already. A commit has some ten thousand of them, and ioredis spends more on
 * those than the analyzer on the verdicts: it measures and copies each three times.
 */
class CommitCommand extends Command {
  readonly #keys: readonly string[]
  readonly #arguments: RespArguments

  constructor(name: 'evalsha' | 'eval', keys: readonly string[], args: RespArguments) {
    // What ioredis knows of it: enough to find the cluster's slot.
    super(name, [name === 'eval' ? lua : sha, String(keys.length), ...keys])
    this.#keys = keys
    this.#arguments = args
  }

  override toWritable(): Buffer {
    const words = [this.name, this.name === 'eval' ? lua : sha, String(this.#keys.length), ...this.#keys]
    let head = `*${words.length + this.#arguments.count}\r\n`
    for (const word of words) head += `$${Buffer.byteLength(word)}\r\n${word}\r\n`
    return this.#arguments.after(head)
  }
}

/** Runs commit.lua; gives its text where Redis does not know it. */
export async function sendCommit(client: Client, keys: readonly string[], args: RespArguments): Promise<unknown> {
  try {
    return await send(client, new CommitCommand('evalsha', keys, args))
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return send(client, new CommitCommand('eval', keys, args))
  }
}

function send(client: Client, command: CommitCommand): Promise<unknown> {
  // The replies of our scripts are text.
  return Promise.resolve(client.sendCommand(command)).then(toText)
}

function toText(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  return Array.isArray(reply) ? reply.map(toText) : reply
}
