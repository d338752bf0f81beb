import { resolve } from 'node:path'
import { type Command, parseCommandLine, repeated, runCommand, text, UsageError } from '../lib/options.ts'

const COMMAND = {
  call: 'npm run mqtt --',
  summary: 'Sends the messages of an MQTT broker to a gateway, as samples. Ctrl-C ends it.',
  details:
    'A payload is a plain number, JSON or Sparkplug B. A message of QoS 1 is acknowledged when the gateway has stored ' +
    'its samples. Settings of the service can be given as variables too, such as MQTT_PASSWORD_FILE and API_KEY_FILE.',
  options: {
    broker: text({ placeholder: 'URL', help: 'the broker: mqtt://HOST, mqtts://HOST, ws:// or wss://' }),
    topic: repeated(text({ placeholder: 'FILTER', help: 'a topic filter, such as sensors/#' })),
    gateway: text({ placeholder: 'URL', help: 'the gateway (default http://127.0.0.1:8080)' }),
    key: text({
      placeholder: 'TEMPLATE',
      help: 'how a topic becomes a key: {topic}, levels such as {2} or {-1}, and {field} (default {topic})',
    }),
    username: text({ placeholder: 'NAME', help: 'the user of the broker' }),
    'password-file': text({ placeholder: 'FILE', help: "a file with that user's password" }),
    'token-file': text({ placeholder: 'FILE', help: 'a file with an API key of the gateway with the scope ingest' }),
  },
  notes: 'docs/mqtt.md has all settings, and what becomes of which payload.',
  examples: [
    "--broker mqtt://localhost --topic 'sensors/#'",
    "--broker mqtts://broker.example --topic 'zigbee2mqtt/+' --key '{2}/{field}' --username tidemark --password-file pw",
  ],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

/** The service reads its settings from the environment, in a container too. */
async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  const given = {
    MQTT_URL: values.broker,
    MQTT_TOPICS: values.topic.length > 0 ? values.topic.join(',') : undefined,
    GATEWAY_URL: values.gateway,
    MQTT_KEY: values.key,
    MQTT_USERNAME: values.username,
    MQTT_PASSWORD_FILE: pathOf(values['password-file']),
    API_KEY_FILE: pathOf(values['token-file']),
  }
  for (const [name, value] of Object.entries(given)) if (value !== undefined) process.env[name] = value
  if (!process.env.MQTT_URL) throw new UsageError('Say which broker: --broker mqtt://localhost')
  if (!process.env.MQTT_TOPICS) throw new UsageError("Say which topics: --topic 'sensors/#'")
  process.env.GATEWAY_URL ??= 'http://127.0.0.1:8080'
  // Not in use by other services of this computer.
  process.env.METRICS_PORT ??= '0'
  process.env.METRICS_HOST ??= '127.0.0.1'
  await import('@tidemark/mqtt/main')
  return Number(process.exitCode ?? 0)
}

/** npm runs scripts in the project's folder; paths are of the caller's. */
function pathOf(file: string | undefined): string | undefined {
  return file === undefined ? undefined : resolve(process.env.INIT_CWD ?? '.', file)
}
