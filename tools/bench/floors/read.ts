import { unpackSamples } from '@tidemark/shared/sample/entry'
import { Redis } from 'ioredis'

/** XREADGROUP and parsing alone. Takes a Redis URL and streams; prints CPU us per sample. */
const [url = '', ...streams] = process.argv.slice(2)
const client = new Redis(url)
let samples = 0
const begin = process.cpuUsage()
for (;;) {
  const ids = streams.map(() => '>')
  const reply = await client.xreadgroup('GROUP', 'bench', 'floor', 'COUNT', 128, 'STREAMS', ...streams, ...ids)
  if (reply === null) break
  for (const [, entries] of reply as [string, [string, string[]][]][]) {
    for (const [, fields] of entries) {
      const unpacked = unpackSamples(fields[fields.indexOf('s') + 1] ?? '')
      if (unpacked.kind === 'samples') samples += unpacked.samples.length / 3
    }
  }
}
const { user, system } = process.cpuUsage(begin)
client.disconnect()
process.stdout.write(`${JSON.stringify({ samples, cpuUs: (user + system) / samples })}\n`)
