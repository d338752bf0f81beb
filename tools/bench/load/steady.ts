import { setTimeout as pause } from 'node:timers/promises'
import { cycleBody } from '../signal.ts'
import { sendBodies } from './sending.ts'

/**
 * Sends samples at a steady rate, 1,000 per request. They cycle through the keys, with later
 * timestamps in each cycle. Takes a port, seconds, samples/s, keys, and the cycles before.
 */
const [port = '', seconds = '', rate = '', keys = '', cycle = ''] = process.argv.slice(2)
const SAMPLES = 1000
const begin = performance.now()
const end = begin + 1000 * Number(seconds)
const everyMs = (1000 * SAMPLES) / Number(rate)

await sendBodies(port, SAMPLES, async number => {
  const at = begin + number * everyMs
  if (Math.max(performance.now(), at) >= end) return undefined
  const body = cycleBody({ first: number * SAMPLES, samples: SAMPLES, keys: Number(keys), cycle: Number(cycle) })
  const wait = at - performance.now()
  if (wait > 0) await pause(wait)
  return body
})
