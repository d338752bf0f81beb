import { z } from 'zod'
import { must, timestampField } from '../fields.ts'

const DOCUMENTED = { type: 'object', additionalProperties: true } as const

/** An object whose members are read one by one. Not a z.record, which drops `__proto__`. */
const membersField = z
  .custom<Record<string, unknown>>(
    value => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .meta(DOCUMENTED)

const nameField = z.string(must('a string')).min(1, 'must not be empty')

/** Names and values; a value that is no text is written as one. */
const tagsField = membersField
  .refine(
    tags => Object.values(tags).every(tag => typeof tag !== 'object' || tag === null),
    'must have no nested values',
  )
  .meta(DOCUMENTED)
  .nullable()
  .optional()

/** A metric of Telegraf's `data_format = "json"`. */
export const telegrafSchema = z
  .strictObject(
    { name: nameField, tags: tagsField, fields: membersField, timestamp: timestampField },
    { error: 'must be an object' },
  )
  .meta({ description: 'A metric as Telegraf sends it, alone or in an array.' })

export const telegrafBatchSchema = z
  .strictObject({ metrics: z.array(z.unknown()) })
  .meta({ description: 'A batch of metrics as Telegraf sends it.' })

/** A value list of collectd's write_http. */
export const collectdSchema = z
  .looseObject({
    values: z.array(z.number().nullable(), 'must be an array of numbers'),
    dsnames: z.array(z.string(), 'must be an array of names'),
    time: timestampField,
    host: nameField,
    plugin: nameField,
    plugin_instance: z.string().optional(),
    type: nameField,
    type_instance: z.string().optional(),
  })
  .refine(({ values, dsnames }) => values.length === dsnames.length, {
    path: ['values'],
    error: 'must be as many as dsnames',
  })
  .meta({ description: 'A value list of collectd (write_http, Format JSON).' })

const scalarField = z.looseObject({ value: z.number() }).optional()

/** A metric event of Vector. */
export const vectorSchema = z
  .looseObject({
    name: nameField,
    namespace: z.string().nullable().optional(),
    tags: tagsField,
    timestamp: timestampField,
    gauge: scalarField,
    counter: scalarField,
  })
  .meta({ description: 'A metric event of Vector, as metric_to_log makes it.' })

/** A record of Fluent Bit: numbers, and texts that say where they come from. */
export const fluentBitSchema = z
  .looseObject({ date: timestampField.unwrap() })
  .meta({ description: 'A record of Fluent Bit (out_http, format json, json_lines or json_stream).' })

/** The state of an entity of Home Assistant. */
export const homeAssistantSchema = z
  .looseObject({
    entity_id: nameField,
    state: z.union([z.string(), z.number(), z.boolean()], 'must be a text, a number or a boolean'),
    attributes: membersField.nullable().optional(),
    last_changed: timestampField,
    last_updated: timestampField,
  })
  .meta({ description: 'The state of an entity of Home Assistant.' })

export const homeAssistantEventSchema = z
  .looseObject({
    event_type: z.string(),
    data: z.looseObject({ new_state: homeAssistantSchema.nullish() }, 'must be an object'),
  })
  .meta({ description: 'An event state_changed of Home Assistant.' })

/** A message of Node-RED. */
export const nodeRedSchema = z
  .looseObject({
    topic: nameField,
    payload: z.union([z.number(), z.boolean(), z.string(), membersField], 'must be a number, or an object of numbers'),
    timestamp: timestampField,
  })
  .meta({ description: 'A message of Node-RED: `topic` names what `payload` measures.' })
