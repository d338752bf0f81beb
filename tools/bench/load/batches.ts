import { requestBody } from '../signal.ts'
import { sendBodies } from './sending.ts'

/** Sends 1,000 samples per request, as many as possible. Takes a port and seconds. */
const [port = '', seconds = ''] = process.argv.slice(2)
const SAMPLES = 1000
// The bodies are built beforehand, so that sending is cheap.
const bodies = Array.from({ length: 200 }, (_, seed) =>
  Buffer.from(requestBody({ samples: SAMPLES, keys: 10_000, seed })),
)
const end = performance.now() + Number(seconds) * 1000
await sendBodies(port, SAMPLES, async number => (performance.now() < end ? bodies[number % bodies.length] : undefined))
