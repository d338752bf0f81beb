import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Client } from '@tidemark/tools/stack/client'

const KEYS_PER_GATEWAY = 20
const EVERY_MS = 100

/** Each sample of a storm is so much greater than the one before: beyond any window's deviation, for as long as it lasts. */
const GROWTH = 1.3

export interface SignalLoad extends AsyncDisposable {
  /** From now on every value is an anomaly, or none but by chance. */
  storm(isOn: boolean): void
}

/** Sends noise to every gateway, and asks each for analyses, until it is disposed. */
export function startLoad(ports: readonly number[]): SignalLoad {
  const stop = new AbortController()
  let isStorm = false
  let level = 1

  async function send(port: number): Promise<void> {
    const client = new Client(port)
    while (!stop.signal.aborted) {
      const samples = Array.from({ length: KEYS_PER_GATEWAY }, (_, n) => ({
        key: `edge-${port}/${n}`,
        value: isStorm ? level * 100 : 20 + noise(),
      }))
      await client.ingest(samples)
      await (await client.get('/analyze?limit=1')).text()
      await pause(EVERY_MS, stop.signal)
    }
  }

  async function rise(): Promise<void> {
    while (!stop.signal.aborted) {
      level = isStorm ? level * GROWTH : 1
      await pause(EVERY_MS, stop.signal)
    }
  }

  const done = Promise.all([...ports.map(send), rise()])
  // It is told of when the load is disposed.
  done.catch(() => undefined)
  return {
    storm(isOn) {
      isStorm = isOn
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await done
    },
  }
}

/** Nearly normal. */
function noise(): number {
  return Math.random() + Math.random() + Math.random() + Math.random()
}
