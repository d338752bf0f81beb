import type { ServerResponse } from 'node:http'
import { Redis } from 'ioredis'
import { respond, serveSamples } from './bodies.ts'

/**
 * The minimal Node server that responds once Redis has stored a sample: the samples of one turn of
 * the event loop are one entry of one stream. It has no partitions, no limits and no errors.
 */
const [, , url = ''] = process.argv
const redis = new Redis(url)
let waiting: { readonly text: string; readonly outgoing: ServerResponse }[] = []

async function flush(): Promise<void> {
  const requests = waiting
  waiting = []
  const id = await redis.xadd('samples', '*', 's', requests.map(({ text }) => text).join(','))
  const response = JSON.stringify({ accepted: 1, rejected: [], receipts: [`0:${id}`], durability: 'local' })
  for (const { outgoing } of requests) respond(outgoing, response)
}

serveSamples((text, outgoing) => {
  if (waiting.push({ text, outgoing }) === 1) setImmediate(() => void flush())
})
