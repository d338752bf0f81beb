import { integer, port } from '@tidemark/shared/runtime/config'
import { LOG_LEVELS } from '@tidemark/shared/runtime/logger'
import { z } from 'zod'
import { TopicTemplate } from './key-template.ts'

const BROKER_RULE = 'must be mqtt://HOST, mqtts://HOST, ws://HOST/PATH or wss://HOST/PATH, with a port if it is unusual'
const URL_RULE = 'must be http:// or https:// and the host of a gateway'

const isUrl = (text: string, schemes: RegExp): boolean => URL.canParse(text) && schemes.test(text)

/** Returns what is wrong with a topic filter (MQTT 5, section 4.7); undefined if nothing is. */
export function topicFault(topic: string): string | undefined {
  const levels = topic.split('/')
  if (topic === '' || Buffer.byteLength(topic) > 65_535 || topic.includes('\0')) return 'is empty or too long'
  if (levels.some((level, i) => level.includes('#') && (level !== '#' || i < levels.length - 1)))
    return 'has a # that is not its last level'
  return levels.some(level => level.includes('+') && level !== '+') ? 'has a + that is not a whole level' : undefined
}

const topics = z
  .string()
  .transform(text =>
    text
      .split(',')
      .map(topic => topic.trim())
      .filter(topic => topic !== ''),
  )
  .superRefine((list, context) => {
    if (list.length === 0) context.addIssue('must name a topic filter, such as sensors/#')
    for (const topic of list) {
      const fault = topicFault(topic)
      if (fault !== undefined) context.addIssue(`${JSON.stringify(topic)} ${fault}`)
    }
  })

export const mqttSettings = z
  .object({
    /** The broker. A user name and a password may be in the URL, percent-encoded. */
    MQTT_URL: z.string().refine(text => isUrl(text, /^(?:mqtts?|wss?):\/\/[^/]/), BROKER_RULE),
    /** Topic filters, separated by commas. */
    MQTT_TOPICS: topics,
    /** How a topic and a field become a key. */
    MQTT_KEY: z
      .string()
      .default('{topic}')
      .transform((text, context) => {
        try {
          return new TopicTemplate(text)
        } catch (error) {
          context.addIssue((error as Error).message)
          return z.NEVER
        }
      }),
    MQTT_USERNAME: z.string().min(1).optional(),
    /** A file that holds the password. */
    MQTT_PASSWORD_FILE: z.string().min(1).optional(),
    /** The authority of the broker's certificate, PEM. Unset: those that Node trusts. */
    MQTT_CA_FILE: z.string().min(1).optional(),
    /** A client certificate with its chain, and its key. */
    MQTT_CERT_FILE: z.string().min(1).optional(),
    MQTT_KEY_FILE: z.string().min(1).optional(),
    /** Names the session in which the broker keeps messages while the bridge is stopped: unique. */
    MQTT_CLIENT_ID: z
      .string()
      .regex(/^[\w.:@/-]{1,100}$/, 'must be 1 to 100 letters, digits and _.:@/-')
      .default('tidemark'),
    /** How long the broker keeps the session of a bridge that is stopped. */
    MQTT_SESSION_S: integer({ min: 0, max: 4_294_967_295 }).default(86_400),
    /** 5, or 4 for brokers that know only MQTT 3.1.1. */
    MQTT_VERSION: z.enum(['4', '5'], { error: 'must be 5, or 4 for MQTT 3.1.1' }).default('5'),
    /** Retained messages were measured before the subscription: true makes samples of them too. */
    MQTT_RETAINED: z.stringbool().default(false),
    GATEWAY_URL: z.string().refine(text => isUrl(text, /^https?:\/\/[^/]/), URL_RULE),
    /** A file that holds an API key with the scope ingest; read for each request. */
    API_KEY_FILE: z.string().min(1).optional(),
    API_KEY: z.string().min(1).optional(),
    /** A longer payload is not read. */
    PAYLOAD_BYTES_MAX: integer({ min: 1024, max: 256 * 1024 * 1024 }).default(1024 * 1024),
    /** Samples of one request. */
    BATCH_SAMPLES_MAX: integer({ min: 1, max: 10_000 }).default(1000),
    /** Samples that may wait for the gateway: then no more messages are read. */
    BACKLOG_SAMPLES_MAX: integer({ min: 1, max: 1_000_000 }).default(10_000),
    /** Unset: all addresses, of IPv6 and of IPv4. */
    METRICS_HOST: z.string().min(1).optional(),
    METRICS_PORT: port.default(9464),
    LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  })
  .refine(({ API_KEY, API_KEY_FILE }) => API_KEY === undefined || API_KEY_FILE === undefined, {
    path: ['API_KEY'],
    message: 'cannot be combined with API_KEY_FILE: give one of them',
  })
  .refine(({ MQTT_CERT_FILE, MQTT_KEY_FILE }) => (MQTT_CERT_FILE === undefined) === (MQTT_KEY_FILE === undefined), {
    path: ['MQTT_CERT_FILE'],
    message: 'and MQTT_KEY_FILE must both be set: a client certificate needs its key',
  })

export type MqttConfig = z.output<typeof mqttSettings>
