import { DECIMAL } from '@tidemark/shared/parsing/decimal'
import type { z } from 'zod'
import { type Metric, type Reader, readerOf, tagsOf } from './metric.ts'
import {
  collectdSchema,
  fluentBitSchema,
  homeAssistantEventSchema,
  homeAssistantSchema,
  nodeRedSchema,
  vectorSchema,
} from './schemas.ts'
import { readMetric } from './telegraf.ts'

/** The measurement of Fluent Bit's records, which have no name. */
const FLUENT_BIT = 'fluentbit'

/** Of a metric or message with a single value. */
const VALUE = 'value'

/** States of Home Assistant's entities that are one of two. */
const STATES: ReadonlyMap<string, number> = new Map([
  ...['on', 'true', 'open', 'home', 'locked', 'above_horizon'].map(state => [state, 1] as const),
  ...['off', 'false', 'closed', 'not_home', 'unlocked', 'below_horizon'].map(state => [state, 0] as const),
])

const readCollectd = readerOf(collectdSchema, ({ values, dsnames, time, host, plugin, type, ...instances }) => {
  const { plugin_instance: instance = '', type_instance = '' } = instances
  const fields = dsnames.map((name, i) => [name, values[i]] as const)
  return { measurement: plugin, tags: tagsOf({ host, instance, type, type_instance }), fields, timestamp: time }
})

const readVector = readerOf(vectorSchema, ({ name, namespace, tags, timestamp, gauge, counter }) => {
  const scalar = gauge ?? counter
  if (scalar === undefined) return 'unsupported'
  const measurement = namespace ? `${namespace}_${name}` : name
  return { measurement, tags: tagsOf(tags), fields: [[VALUE, scalar.value]], timestamp }
})

/** Texts are tags: without the name of its host, a record would be of another series. */
const readFluentBit = readerOf(fluentBitSchema, ({ date }, record) => {
  const members = Object.entries(record).filter(([name]) => name !== 'date')
  const fields = members.filter(([, value]) => typeof value !== 'string')
  if (fields.length === 0) return 'text'
  const tags = tagsOf(members.filter(([, value]) => typeof value === 'string'))
  return { measurement: FLUENT_BIT, tags, fields, timestamp: date }
})

const readHomeAssistant = readerOf(homeAssistantSchema, metricOfState)

const readHomeAssistantEvent = readerOf(homeAssistantEventSchema, ({ event_type, data: { new_state: state } }) => {
  if (event_type !== 'state_changed' || state === undefined) return 'unsupported'
  return state === null ? 'null' : metricOfState(state)
})

function metricOfState(entity: z.output<typeof homeAssistantSchema>): Metric {
  const { entity_id: measurement, state, attributes, last_changed, last_updated } = entity
  const fields = [['state', stateOf(state)] as const, ...Object.entries(attributes ?? {})]
  return { measurement, tags: [], fields, timestamp: last_updated ?? last_changed }
}

const readNodeRed = readerOf(nodeRedSchema, ({ topic, payload, timestamp }) => {
  const fields = typeof payload === 'object' ? Object.entries(payload) : [[VALUE, numberIn(payload)] as const]
  return { measurement: topic, tags: [], fields, timestamp }
})

/** Returns the number of a state, or the state as it is. */
function stateOf(state: string | number | boolean): unknown {
  return typeof state === 'string' ? (STATES.get(state.toLowerCase()) ?? numberIn(state)) : state
}

/** Reads a number that is a text, as MQTT and Home Assistant have it. */
function numberIn(value: string | number | boolean): unknown {
  return typeof value === 'string' && DECIMAL.test(value.trim()) ? Number(value) : value
}

/** The formats of agents, by a member that no other format has. The first that is found decides. */
export const AGENT_READERS: readonly (readonly [member: string, reader: Reader])[] = [
  ['dsnames', readCollectd],
  ['fields', readMetric],
  ['entity_id', readHomeAssistant],
  ['event_type', readHomeAssistantEvent],
  ['payload', readNodeRed],
  ...['gauge', 'counter', 'set', 'distribution', 'aggregated_histogram', 'aggregated_summary', 'sketch'].map(
    member => [member, readVector] as const,
  ),
  ['date', readFluentBit],
]
