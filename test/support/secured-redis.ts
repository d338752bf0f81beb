import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createDeploymentSecrets, formatUsers, REDIS_USERS } from '@tidemark/gateway/secrets/deployment-secrets'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startRedisProcess } from '@tidemark/testkit/redis-process'

export type RedisUser = (typeof REDIS_USERS)[number]

const READY_WITHIN_MS = 15_000

/** Returns the rights of a user in users.acl, as they are written in a command. */
export function rightsOf(user: RedisUser): string[] {
  const passwords = Object.fromEntries(REDIS_USERS.map(name => [name, name])) as Record<RedisUser, string>
  const line = formatUsers(passwords)
    .split('\n')
    .find(line => line.startsWith(`user ${user} `))
  if (line === undefined) throw new Error(`users.acl has no user ${user}`)
  return line.split(' ').slice(4)
}

/** Starts a redis-server with the users of users.acl and no others, from a file as deployed. */
export async function startWithUsers(args: readonly string[] = []) {
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-users-'))
  starting.defer(() => rm(folder, { recursive: true }))
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const secrets = createDeploymentSecrets(Date.now())
  const redis = starting.use(
    await startRedisProcess('redis-server', ['--save', '', '--aclfile', file('users.acl', secrets.usersAcl), ...args]),
  )
  const urlOf = (user: RedisUser): string => `redis://${user}:${secrets.passwords[user]}@127.0.0.1:${redis.port}`
  const admin = starting.adopt(rawClient(urlOf('admin')), client => client.disconnect())
  admin.on('error', () => undefined)
  const deadline = performance.now() + READY_WITHIN_MS
  while (admin.status !== 'ready') {
    if (performance.now() > deadline) throw new Error(`Redis does not respond:\n${await redis.log()}`)
    await pause(10)
  }
  const resources = starting.move()
  return {
    secrets,
    admin,
    urlOf,
    file,
    url: `redis://127.0.0.1:${redis.port}`,
    /** Kills Redis and starts it again with its files. */
    async restart() {
      await redis.kill()
      await redis.start()
    },
    /** The settings of a service that runs as this user. */
    userOf: (user: RedisUser) => ({
      REDIS_USERNAME: user,
      REDIS_PASSWORD_FILE: file(`${user}-password`, `${secrets.passwords[user]}\n`),
    }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Whether redis-server was built with TLS; false also without it, or without openssl. */
export async function hasTls(): Promise<boolean> {
  const run = promisify(execFile)
  const openssl = await run('openssl', ['version']).catch(() => undefined)
  const refusal = await run('redis-server', ['--tls-port', 'none']).catch(
    (error: { stdout?: string; stderr?: string }) => `${error.stdout}${error.stderr}`,
  )
  return (
    openssl !== undefined && typeof refusal === 'string' && /tls-port/.test(refusal) && !/Bad directive/.test(refusal)
  )
}

/** Makes an authority, and certificates for a server on 127.0.0.1 and for a client. */
export async function makeCertificates(folder: string) {
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder })
  const at = (name: string): string => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const authority = async (name: string) => {
    await openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`)
  }
  const issued = async (name: string, by: string, names: string) => {
    await openssl(
      'req',
      ...key.slice(0, 4),
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-nodes',
      '-subj',
      `/CN=${name}`,
    )
    writeFileSync(at(`${name}.ext`), `subjectAltName=${names}\n`)
    const ca = ['-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial', '-days', '2']
    await openssl('x509', '-req', '-in', `${name}.csr`, ...ca, '-extfile', `${name}.ext`, '-out', `${name}.crt`)
  }
  await authority('ca')
  await authority('other-ca')
  await issued('server', 'ca', 'IP:127.0.0.1')
  await issued('misnamed', 'ca', 'DNS:redis.example.com')
  await issued('client', 'ca', 'DNS:client')
  return { at }
}
