import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { ConfigError } from '@tidemark/shared/runtime/config'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Logger } from 'pino'

/** Files are compared rather than watched: Kubernetes replaces a symbolic link above them. */
const CHECK_EVERY_MS = 1000

/** A certificate with its chain, and its private key, as PEM. */
interface PemPair {
  readonly cert: Buffer
  readonly key: Buffer
}

export interface Certificate extends PemPair {
  /** Unix seconds. */
  readonly expiresAt: number
}

interface CertificateFiles {
  /** Of TLS_CERT_FILE. */
  readonly certFile: string
  /** Of TLS_KEY_FILE. */
  readonly keyFile: string
}

/** Reads a certificate and its key. Throws a ConfigError that names the file and what is wrong. */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  return parseCertificate(await readPair(files), files)
}

async function readPair({ certFile, keyFile }: CertificateFiles): Promise<PemPair> {
  return { cert: await readPem('TLS_CERT_FILE', certFile), key: await readPem('TLS_KEY_FILE', keyFile) }
}

async function readPem(setting: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new ConfigError(`${setting}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, {
      cause: error,
    })
  }
}

function parseCertificate({ cert, key }: PemPair, { certFile, keyFile }: CertificateFiles): Certificate {
  const x509 = parsed(
    () => new X509Certificate(cert),
    `TLS_CERT_FILE: ${certFile} is not a certificate in PEM, with its chain behind it`,
  )
  const privateKey = parsed(
    () => createPrivateKey(key),
    `TLS_KEY_FILE: ${keyFile} is not a private key in PEM without a passphrase`,
  )
  if (!x509.checkPrivateKey(privateKey)) {
    throw new ConfigError(`TLS_KEY_FILE: ${keyFile} is not the key of the certificate in TLS_CERT_FILE, ${certFile}`)
  }
  // It checks the rest: the chain, and that OpenSSL accepts the size of the key.
  parsed(() => createSecureContext({ cert, key }), `TLS_CERT_FILE: ${certFile} is not accepted by OpenSSL`)
  return { cert, key, expiresAt: Math.floor(x509.validToDate.getTime() / 1000) }
}

function parsed<T>(parse: () => T, fault: string): T {
  try {
    return parse()
  } catch (error) {
    throw new ConfigError(fault, { cause: error })
  }
}

interface WatchOptions extends CertificateFiles {
  readonly log: Logger
  readonly onChange: (certificate: Certificate) => void
  /** Called once for each new content of the files that cannot be used. */
  readonly onFailure: () => void
}

/** Reloads a certificate when its files change, until it is disposed. A bad one changes nothing. */
export function watchCertificate(
  current: Certificate,
  { log, onChange, onFailure, ...files }: WatchOptions,
): AsyncDisposable {
  const stop = new AbortController()
  /** What was tried last: a bad certificate is reported once. */
  let tried: PemPair = current
  let fault: string | undefined

  async function check(): Promise<void> {
    try {
      const found = await readPair(files)
      fault = undefined
      if (found.cert.equals(tried.cert) && found.key.equals(tried.key)) return
      tried = found
      const certificate = parseCertificate(found, files)
      onChange(certificate)
      log.info({ expiresAt: new Date(certificate.expiresAt * 1000).toISOString() }, 'TLS certificate reloaded')
    } catch (error) {
      const { message } = error as Error
      // Files that cannot be read are reported once, too.
      if (message === fault) return
      fault = message
      log.error({ reason: message }, 'the new TLS certificate cannot be used; the old one remains in use')
      onFailure()
    }
  }

  async function watch(): Promise<void> {
    while (!stop.signal.aborted) {
      await pause(CHECK_EVERY_MS, stop.signal)
      if (!stop.signal.aborted) await check()
    }
  }
  const watching = watch()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await watching
    },
  }
}
