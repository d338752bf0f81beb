import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import type { Registry } from 'prom-client'
import { SKIP_REASONS } from './message-reader.ts'

const COUNTERS = {
  messages: ['mqtt_messages_total', 'Messages received from the broker, repeated ones included.'],
  repeated: [
    'mqtt_messages_repeated_total',
    'Messages that the broker delivered again after a lost connection and that were not sent to the gateway twice.',
  ],
  accepted: ['mqtt_samples_accepted_total', 'Samples that the gateway has stored.'],
  rejected: ['mqtt_samples_rejected_total', 'Samples that the gateway refused for good.'],
  skipped: [
    'mqtt_values_skipped_total',
    'Values and messages that became no sample: unreadable or too large payloads, values that are no numbers, Sparkplug metrics without a name or for control, topics without a level of the key template, keys that no gateway takes, messages without values, retained messages.',
    { reason: SKIP_REASONS },
  ],
  retries: ['mqtt_gateway_retries_total', 'Requests to the gateway that failed and were repeated.'],
} as const

const GAUGES = {
  connected: ['mqtt_connected', 'Whether the broker is connected and has accepted the subscription: 1 or 0.'],
  backlog: ['mqtt_backlog_samples', 'Samples that wait for the gateway, or are on their way.'],
} as const

export type MqttMetrics = ReturnType<typeof createMqttMetrics>

export function createMqttMetrics(registry: Registry) {
  return { ...createCounters(registry, COUNTERS), ...createGauges(registry, GAUGES) }
}
