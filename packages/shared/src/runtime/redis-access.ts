import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type CommonConfig, ConfigError, redisNodes } from './config.ts'

/** How a service identifies itself to Redis, and Redis to it, besides what REDIS_URL says. */
export interface RedisAccess {
  readonly username?: string
  readonly password?: string
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

type AccessSettings = Pick<
  CommonConfig,
  'REDIS_URL' | 'REDIS_USERNAME' | 'REDIS_PASSWORD_FILE' | 'REDIS_CA_FILE' | 'REDIS_CERT_FILE' | 'REDIS_KEY_FILE'
>

/** Longer files hold something else. */
const PASSWORD_LENGTH_MAX = 4096

/**
 * Reads what the settings about Redis' users and TLS name. Throws a ConfigError that names the
 * setting and its file, and quotes nothing of either.
 */
export function readRedisAccess(settings: AccessSettings): RedisAccess {
  const { REDIS_URL, REDIS_USERNAME, REDIS_PASSWORD_FILE, REDIS_CA_FILE, REDIS_CERT_FILE, REDIS_KEY_FILE } = settings
  const inUrl = passwordsIn(REDIS_URL)
  const password = REDIS_PASSWORD_FILE && readPassword(REDIS_PASSWORD_FILE)
  if (password !== undefined && inUrl.some(one => one !== password)) {
    throw fault('REDIS_PASSWORD_FILE', 'has another password than REDIS_URL: take the password out of REDIS_URL')
  }
  const tls = {
    ...(REDIS_CA_FILE && { ca: readCertificates('REDIS_CA_FILE', REDIS_CA_FILE) }),
    ...(REDIS_CERT_FILE && { cert: readCertificates('REDIS_CERT_FILE', REDIS_CERT_FILE) }),
    ...(REDIS_KEY_FILE && { key: readKey(REDIS_KEY_FILE, REDIS_CERT_FILE) }),
  }
  return {
    ...(REDIS_USERNAME && { username: REDIS_USERNAME }),
    ...(password && { password }),
    ...(Object.keys(tls).length > 0 && { tls }),
  }
}

/**
 * Returns a getter that reads the files again: passwords and certificates are replaced while a
 * service runs. While a file is wrong it reports that, and returns what was read last.
 */
export function currentRedisAccess(settings: AccessSettings, onFailure: (error: Error) => void): () => RedisAccess {
  let last = readRedisAccess(settings)
  return () => {
    try {
      last = readRedisAccess(settings)
    } catch (error) {
      onFailure(error as Error)
    }
    return last
  }
}

function passwordsIn(url: string): string[] {
  if (url.startsWith('unix:')) return []
  const passwords = redisNodes(url).map(node => decodeURIComponent(new URL(node).password))
  return passwords.filter(password => password !== '')
}

/** Editors and `echo` end a file with a line break, which is not part of the password. */
function readPassword(path: string): string {
  const password = read('REDIS_PASSWORD_FILE', path).replace(/\r?\n$/, '')
  if (password === '') throw fault('REDIS_PASSWORD_FILE', `names an empty file, ${path}: write the password into it`)
  if (/[\r\n]/.test(password) || password.length > PASSWORD_LENGTH_MAX) {
    throw fault('REDIS_PASSWORD_FILE', `must name a file that has one line, the password; ${path} has more`)
  }
  return password
}

function readCertificates(setting: string, path: string): string {
  const text = read(setting, path)
  try {
    new X509Certificate(text)
  } catch (cause) {
    throw fault(setting, `must name a file with a certificate in PEM format; ${path} has none`, cause)
  }
  return text
}

function readKey(path: string, certificatePath: string | undefined): string {
  const text = read('REDIS_KEY_FILE', path)
  let key: ReturnType<typeof createPrivateKey>
  try {
    key = createPrivateKey(text)
  } catch (cause) {
    throw fault('REDIS_KEY_FILE', `must name a private key in PEM format without a passphrase; ${path} is none`, cause)
  }
  if (certificatePath !== undefined) {
    const certificate = new X509Certificate(readCertificates('REDIS_CERT_FILE', certificatePath))
    if (!certificate.checkPrivateKey(key)) {
      throw fault('REDIS_KEY_FILE', `is not the key of the certificate in REDIS_CERT_FILE (${certificatePath})`)
    }
  }
  return text
}

function read(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code = 'an error' } = cause as NodeJS.ErrnoException
    throw fault(setting, `names a file that cannot be read, ${path} (${code})`, cause)
  }
}

function fault(setting: string, sentence: string, cause?: unknown): ConfigError {
  return new ConfigError(`settings are missing or wrong:\n  ${setting}: ${sentence}`, { cause })
}
