import { generate } from 'selfsigned'

const DAY_MS = 86_400_000

/** A self-signed certificate, which is its own CA, and its private key, both as PEM. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

/** Creates a certificate of localhost and 127.0.0.1 that expires after so many days. */
export async function createCertificate({ days = 30, name = 'localhost' } = {}): Promise<TestCertificate> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - DAY_MS),
    notAfterDate: new Date(Date.now() + days * DAY_MS),
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: name },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  })
  return { cert, key }
}
