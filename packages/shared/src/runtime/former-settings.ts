/**
 * Names by which other services, among them the Go service before Tidemark, call what Tidemark has
 * a setting for, and that setting.
 */
const FORMER: Readonly<Record<string, string>> = {
  REDIS_ADDR: 'REDIS_URL (such as redis://HOST:6379)',
  REDIS_ADDRESS: 'REDIS_URL (such as redis://HOST:6379)',
  REDIS_HOST: 'REDIS_URL (such as redis://HOST:6379)',
  REDIS_PORT: 'REDIS_URL (such as redis://HOST:6379)',
  REDIS_DB: 'REDIS_URL (such as redis://HOST:6379/1)',
  REDIS_PASSWORD: 'REDIS_PASSWORD_FILE (or the password in REDIS_URL)',
  REDIS_PASS: 'REDIS_PASSWORD_FILE (or the password in REDIS_URL)',
  HTTP_PORT: 'PORT',
  SERVER_PORT: 'PORT',
  APP_PORT: 'PORT',
  HTTP_ADDR: 'HOST and PORT',
  LISTEN_ADDR: 'HOST and PORT',
  WINDOW_SIZE: 'WINDOW',
  ROLLING_WINDOW: 'WINDOW',
  Z_THRESHOLD: 'THRESHOLD',
  ZSCORE_THRESHOLD: 'THRESHOLD',
  ANOMALY_THRESHOLD: 'THRESHOLD',
  QUEUE_SIZE: 'QUEUE_SAMPLES_MAX',
  BUFFER_SIZE: 'QUEUE_SAMPLES_MAX',
  CHANNEL_SIZE: 'QUEUE_SAMPLES_MAX',
  MAX_BODY_BYTES: 'BODY_BYTES_MAX',
  LOGLEVEL: 'LOG_LEVEL',
}

/** Kubernetes sets REDIS_PORT in every pod beside a Service with the name redis. */
const SERVICE_LINK = /^tcp:\/\//

/** Returns a sentence for each variable in `env` that looks like a setting and is not read. */
export function formerSettings(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(FORMER).flatMap(([name, use]) => {
    const value = env[name] ?? ''
    return value === '' || SERVICE_LINK.test(value) ? [] : [`${name} is not read: set ${use} instead`]
  })
}
