import { readFileSync } from 'node:fs'
import { ConfigError, readConfig } from '@tidemark/shared/runtime/config'
import { aborted, run } from '@tidemark/shared/runtime/lifecycle'
import { createFailureLog, createLogger } from '@tidemark/shared/runtime/logger'
import { createOpsApp, listenOps } from '@tidemark/shared/runtime/ops'
import { collectProcessMetrics } from '@tidemark/shared/runtime/process-metrics'
import { secretsIn } from '@tidemark/shared/runtime/secrets'
import type { IClientOptions } from 'mqtt'
import { Registry } from 'prom-client'
import { Bridge } from './bridge.ts'
import { type MqttConfig, mqttSettings } from './config.ts'
import { createGatewayClient } from './gateway.ts'
import { createMqttMetrics } from './metrics.ts'

try {
  const config = readConfig(mqttSettings, process.env)
  const client = clientOptions(config)
  const password = typeof client.password === 'string' ? client.password : undefined
  const secrets = secretsIn({ ...process.env, MQTT_PASSWORD: password })
  const log = createLogger('mqtt', config.LOG_LEVEL, { secrets })
  await run(async (stop, resources) => {
    const registry = new Registry()
    collectProcessMetrics(registry)
    const metrics = createMqttMetrics(registry)
    const logFailure = createFailureLog(log)
    const gateway = createGatewayClient(config.GATEWAY_URL, () =>
      config.API_KEY_FILE === undefined ? config.API_KEY : readSecret('API_KEY_FILE', config.API_KEY_FILE),
    )
    const bridge = resources.use(
      new Bridge({
        url: config.MQTT_URL,
        topics: config.MQTT_TOPICS,
        client,
        template: config.MQTT_KEY,
        takesRetained: config.MQTT_RETAINED,
        payloadBytesMax: config.PAYLOAD_BYTES_MAX,
        samplesMax: config.BATCH_SAMPLES_MAX,
        backlogMax: config.BACKLOG_SAMPLES_MAX,
        gateway,
        log,
        logFailure,
        metrics,
      }),
    )
    const collect = (): void => metrics.backlog.set(bridge.backlog)
    const app = createOpsApp({
      registry,
      notReady: () => {
        collect()
        return bridge.notReady
      },
    })
    const ops = resources.use(
      await listenOps({ fetch: app.fetch, hostname: config.METRICS_HOST, port: config.METRICS_PORT }),
    )
    log.info({ metricsPort: ops.port, topics: config.MQTT_TOPICS }, 'listening')
    await aborted(stop)
  }, log)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`tidemark mqtt: ${error.message}\n`)
  process.exitCode = 1
}

function clientOptions(config: MqttConfig): IClientOptions {
  const { MQTT_VERSION, MQTT_SESSION_S, BACKLOG_SAMPLES_MAX } = config
  const isFive = MQTT_VERSION === '5'
  return {
    clientId: config.MQTT_CLIENT_ID,
    protocolVersion: isFive ? 5 : 4,
    clean: MQTT_SESSION_S === 0,
    ...(isFive && {
      properties: {
        sessionExpiryInterval: MQTT_SESSION_S,
        receiveMaximum: Math.min(65_535, BACKLOG_SAMPLES_MAX),
      },
    }),
    reconnectPeriod: 1000,
    connectTimeout: 10_000,
    ...(config.MQTT_USERNAME !== undefined && { username: config.MQTT_USERNAME }),
    ...(config.MQTT_PASSWORD_FILE !== undefined && {
      password: readSecret('MQTT_PASSWORD_FILE', config.MQTT_PASSWORD_FILE),
    }),
    ...(config.MQTT_CA_FILE !== undefined && { ca: readSecret('MQTT_CA_FILE', config.MQTT_CA_FILE) }),
    ...(config.MQTT_CERT_FILE !== undefined && { cert: readSecret('MQTT_CERT_FILE', config.MQTT_CERT_FILE) }),
    ...(config.MQTT_KEY_FILE !== undefined && { key: readSecret('MQTT_KEY_FILE', config.MQTT_KEY_FILE) }),
  }
}

function readSecret(setting: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`${setting}: ${file} cannot be read: ${code}`, { cause: error })
  }
}
