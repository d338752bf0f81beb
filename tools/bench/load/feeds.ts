import { request } from 'node:http'
import { keyNumber } from '../signal.ts'

/**
 * Opens live feeds, each of one key, and reads them until it is stopped. Takes a port, a number of
 * feeds and of keys. Prints `open` when all of them have begun.
 */
const [port = '', feeds = '', keys = ''] = process.argv.slice(2)
const AT_ONCE = 50

function open(number: number): Promise<void> {
  const path = `/events?key=${encodeURIComponent(keyNumber(number % Number(keys)))}`
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path }, response => {
      if (response.statusCode !== 200) reject(new Error(`a feed got ${response.statusCode}`))
      response.resume()
      resolve()
    })
    sent.on('error', reject)
    sent.end()
  })
}

for (let first = 0; first < Number(feeds); first += AT_ONCE) {
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, Number(feeds) - first) }, (_, i) => open(first + i)))
}
process.stdout.write(`${JSON.stringify({ open: Number(feeds) })}\n`)
