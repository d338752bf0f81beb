import type { Client } from '@tidemark/client/client'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { generate } from 'mqtt-packet'
import type { Logger } from 'pino'
import { Forwarder } from './forwarder.ts'
import { Inbox } from './inbox.ts'
import type { TopicTemplate } from './key-template.ts'
import { MessageReader, skipped } from './message-reader.ts'
import type { MqttMetrics } from './metrics.ts'
import { Sparkplug } from './sparkplug.ts'

/** How often one edge node is asked for its birth certificates. */
const REBIRTH_MS = 30_000

/** Edge nodes of which it is known when they were asked. */
const NODES_MAX = 10_000

export interface BridgeOptions {
  readonly url: string
  readonly topics: readonly string[]
  readonly client: IClientOptions
  readonly template: TopicTemplate
  /** Whether a message that the broker kept from before the subscription is a sample. */
  readonly takesRetained: boolean
  /** A longer payload is not read. */
  readonly payloadBytesMax: number
  readonly samplesMax: number
  readonly backlogMax: number
  readonly gateway: Client
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly metrics: MqttMetrics
}

/**
 * Reads messages of a broker and sends what they hold to the gateway. A message of QoS 1 is
 * acknowledged when the gateway has stored its samples, so the broker repeats it otherwise.
 */
export class Bridge implements AsyncDisposable {
  readonly #options: BridgeOptions
  readonly #client: MqttClient
  readonly #inbox: Inbox
  readonly #forwarder: Forwarder
  readonly #reader: MessageReader
  readonly #rebirths = new Map<string, number>()
  /** Of the messages demoted by `#onPacket`. */
  readonly #ids = new WeakMap<object, { readonly packetId: number; readonly isRepeated: boolean }>()
  #fault: string | undefined = 'the broker is not connected yet'

  constructor(options: BridgeOptions) {
    this.#options = options
    this.#reader = new MessageReader(options.template, options.payloadBytesMax)
    const { gateway, samplesMax, backlogMax, metrics, log, logFailure } = options
    this.#forwarder = new Forwarder({
      gateway,
      samplesMax,
      backlogMax,
      onFailure(reason) {
        metrics.retries.inc()
        logFailure(new Error(reason), 'samples wait, because the gateway has not stored them')
      },
      onSent({ accepted, rejected, reason }) {
        metrics.accepted.inc(accepted)
        metrics.rejected.inc(rejected)
        if (rejected > 0) log.warn({ rejected, first: reason }, 'the gateway rejected samples')
      },
    })
    this.#client = mqtt.connect(options.url, { ...options.client, resubscribe: false })
    this.#inbox = new Inbox(packetId => {
      this.#client.stream.write(generate({ cmd: 'puback', messageId: packetId, reasonCode: 0 }, this.#client.options))
    })
    this.#client.on('packetreceive', packet => {
      if (packet.cmd === 'publish') this.#demote(packet)
    })
    this.#client.handleMessage = (packet, done) => this.#onMessage(packet, done)
    this.#client.on('connect', packet => void this.#onConnect(packet.sessionPresent))
    this.#client.on('close', () => this.#disconnected('the broker is not connected'))
    this.#client.on('error', error => {
      this.#disconnected(`the broker refuses the connection: ${error.message}`)
      options.logFailure(error, 'the connection to the broker failed')
    })
  }

  /** Why nothing is read; undefined if all is well. */
  get notReady(): string | undefined {
    return this.#fault
  }

  get backlog(): number {
    return this.#forwarder.backlog
  }

  /** Sends what waits if the gateway responds. The broker keeps what is not acknowledged. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#forwarder.stop()
    await this.#client.endAsync()
  }

  async #onConnect(hasSession: boolean): Promise<void> {
    const { topics, log, logFailure, metrics } = this.#options
    this.#inbox.connected(hasSession)
    try {
      const granted = await this.#client.subscribeAsync([...topics], { qos: 1 })
      const refused = granted.filter(({ qos }) => qos >= 128).map(({ topic }) => topic)
      if (refused.length > 0) throw new Error(`the broker refuses to deliver ${refused.join(', ')}`)
      log.info({ topics, hasSession }, 'subscribed')
      this.#fault = undefined
      metrics.connected.set(1)
    } catch (error) {
      this.#disconnected((error as Error).message)
      logFailure(error, 'the subscription failed')
      // A new connection subscribes again, after the pause between two.
      this.#client.stream.destroy()
    }
  }

  #disconnected(reason: string): void {
    this.#fault = reason
    this.#options.metrics.connected.set(0)
  }

  /**
   * The library acknowledges a message of QoS 1 before it reads the next one, so a request for each
   * would be needed. It acknowledges none of QoS 0: the inbox does that then.
   */
  #demote(packet: IPublishPacket): void {
    if (packet.qos !== 1 || packet.messageId === undefined) return
    this.#ids.set(packet, { packetId: packet.messageId, isRepeated: packet.dup })
    packet.qos = 0
  }

  #onMessage(packet: IPublishPacket, done: () => void): void {
    const { metrics, takesRetained, log } = this.#options
    const { topic } = packet
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    metrics.messages.inc()
    const id = this.#ids.get(packet)
    const settle = id === undefined ? () => undefined : this.#inbox.take(id.packetId, { topic, payload }, id.isRepeated)
    if (settle === undefined) {
      metrics.repeated.inc()
      done()
      return
    }
    const isSkipped = packet.retain && !takesRetained
    const content = isSkipped ? skipped('retained') : this.#reader.read(topic, payload)
    for (const [reason, count] of content.skipped) {
      metrics.skipped.inc({ reason }, count)
      log.debug({ reason, count, topic }, 'values were skipped')
    }
    if (content.commandTopic !== undefined) this.#requestBirth(content.commandTopic)
    this.#forwarder.offer({ samples: content.samples, settle }, done)
  }

  /** Only birth certificates have the names of a node's metrics. */
  #requestBirth(topic: string): void {
    const now = Date.now()
    if (now - (this.#rebirths.get(topic) ?? 0) < REBIRTH_MS) return
    this.#rebirths.delete(topic)
    this.#rebirths.set(topic, now)
    if (this.#rebirths.size > NODES_MAX) this.#rebirths.delete(this.#rebirths.keys().next().value as string)
    this.#options.log.info({ topic }, 'an edge node is asked for its birth certificate')
    this.#client.publish(topic, Buffer.from(Sparkplug.rebirth(now)), error => {
      if (error) this.#options.logFailure(error, 'a birth certificate could not be requested')
    })
  }
}
