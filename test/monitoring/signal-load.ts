import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Client } from '@tidemark/tools/stack/client'

const KEYS_PER_GATEWAY = 20
const EVERY_MS = 100

/** Growth of a storm's values per step: always beyond the deviation of any window. */
const GROWTH = 1.3

export interface SignalLoad extends AsyncDisposable {
  /** Switches between anomalies only and noise. */
  storm(isOn: boolean): void
}

/** Sends noise to every gateway and reads analyses from each, until it is disposed. */
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
  // A failure is thrown when the load is disposed.
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

/** Returns an approximately normal value. */
function noise(): number {
  return Math.random() + Math.random() + Math.random() + Math.random()
}
