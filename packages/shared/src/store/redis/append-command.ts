import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Command } from 'ioredis'
import type { Client } from './connection.ts'

/** A script that appends to one partition: the beginning of a call of it, which is the same each time. */
export interface AppendTarget {
  readonly lua: string
  readonly sha: string
  readonly keys: readonly string[]
}

export function appendTarget(script: 'append' | 'append-once', keys: readonly string[]): AppendTarget {
  const lua = readFileSync(new URL(`./lua/${script}.lua`, import.meta.url), 'utf8')
  return { lua, sha: createHash('sha1').update(lua).digest('hex'), keys }
}

/**
 * A call of an append script that encodes itself, as commits do. The samples are most of its bytes: as a text, node would take
 * three times their room to send them, and ioredis measures and copies each argument besides. With its own commands, and the
 * promises around each, this was a third of what a sample in a request of 1,000 costs the gateway.
 */
class AppendCommand extends Command {
  readonly #call: string
  readonly #target: AppendTarget
  readonly #samples: string
  readonly #rest: readonly string[]

  constructor(name: 'evalsha' | 'eval', target: AppendTarget, samples: string, rest: readonly string[]) {
    const script = name === 'eval' ? target.lua : target.sha
    // What ioredis knows of it: enough to find the cluster's slot.
    super(name, [script, String(target.keys.length), ...target.keys], { replyEncoding: 'utf8' })
    this.#call = name
    this.#target = target
    this.#samples = samples
    this.#rest = rest
  }

  override toWritable(): Buffer {
    const { lua, sha, keys } = this.#target
    const words = [this.#call, this.#call === 'eval' ? lua : sha, String(keys.length), ...keys]
    const samplesBytes = Buffer.byteLength(this.#samples)
    const head = `*${words.length + 1 + this.#rest.length}\r\n${words.map(bulk).join('')}$${samplesBytes}\r\n`
    const tail = `\r\n${this.#rest.map(bulk).join('')}`
    const bytes = Buffer.allocUnsafe(Buffer.byteLength(head) + samplesBytes + Buffer.byteLength(tail))
    let end = bytes.write(head)
    end += bytes.write(this.#samples, end)
    bytes.write(tail, end)
    return bytes
  }
}

function bulk(word: string): string {
  return `$${Buffer.byteLength(word)}\r\n${word}\r\n`
}

/** Appends `samples`, followed by the script's other arguments; gives the script's text where Redis does not know it. */
export async function sendAppend(
  client: Client,
  target: AppendTarget,
  samples: string,
  rest: readonly string[],
): Promise<unknown> {
  try {
    return await client.sendCommand(new AppendCommand('evalsha', target, samples, rest))
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.sendCommand(new AppendCommand('eval', target, samples, rest))
  }
}
