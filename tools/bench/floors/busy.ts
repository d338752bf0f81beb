/** A process that computes and collects garbage as a busy analyzer does, without any client. */
const text = JSON.stringify(Array.from({ length: 20_000 }, (_, i) => ({ number: i / 7, text: `key-${i}` })))
process.stdout.write(`${JSON.stringify({ pid: process.pid, port: 0 })}\n`)
for (;;) {
  JSON.parse(text)
  // It can be stopped.
  await new Promise(resolve => setImmediate(resolve))
}
