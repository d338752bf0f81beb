import { sampleSchema } from '@tidemark/gateway/ingest/formats/sample-object'
import { z } from 'zod'
import { requestBody } from '../signal.ts'

/** JSON.parse and zod alone, on bodies of 1,000 samples. Prints CPU microseconds per sample. */
const ROUNDS = 2000
const schema = z.array(sampleSchema)
const bodies = Array.from({ length: 16 }, (_, seed) => requestBody({ samples: 1000, keys: 10_000, seed }))
let good = 0
function round(n: number): void {
  if (schema.safeParse(JSON.parse(bodies[n % bodies.length] ?? '')).success) good++
}
for (let n = 0; n < 200; n++) round(n)
const begin = process.cpuUsage()
for (let n = 0; n < ROUNDS; n++) round(n)
const { user, system } = process.cpuUsage(begin)
if (good !== ROUNDS + 200) throw new Error('a body of the floor is invalid')
process.stdout.write(`${JSON.stringify({ parseCpuUs: (user + system) / (ROUNDS * 1000) })}\n`)
