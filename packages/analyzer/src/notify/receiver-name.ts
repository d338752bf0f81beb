import { hash } from 'node:crypto'
import type { Receiver, ReceiverKind } from './receiver.ts'

/** Names a receiver by its address, of which neither the outbox nor a log line shows what may be secret. */
export function nameReceiver(kind: ReceiverKind, url: string): Pick<Receiver, 'name' | 'kind' | 'title'> {
  return { kind, name: `${kind}-${hash('sha256', url).slice(0, 12)}`, title: new URL(url).origin }
}
