import { createDeploymentSecrets } from '@tidemark/gateway/secrets/deployment-secrets'
import { type Command, custom, Failure, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { kubernetesSecrets } from './kubernetes.ts'

const COMMAND = {
  call: 'npm run --silent secrets --',
  summary: 'Makes the Secrets of a new deployment on Kubernetes: users of Redis and API keys.',
  details:
    'Writes them to the standard output, for kubectl. Every call makes others, so use `kubectl create`, which does not ' +
    'replace existing ones. Nothing is stored on this computer.',
  options: {
    namespace: text({ placeholder: 'NAME', default: 'highload', help: 'the namespace (default highload)' }),
    'redis-url': custom({
      placeholder: 'URL',
      default: 'redis://redis:6379',
      help: "the address of Redis, without user and password (default: the base's Redis)",
      form: 'redis://HOST:PORT or rediss://HOST:PORT, without user and password',
      parse: (given: string) => (/^rediss?:\/\//.test(given) && !given.includes('@') ? given : undefined),
    }),
    'redis-prefix': custom({
      placeholder: 'PREFIX',
      default: 'tm',
      help: 'REDIS_PREFIX of the deployment (default tm)',
      form: '1 to 32 letters, digits, dots, dashes and underscores',
      parse: (given: string) => (/^[A-Za-z0-9_.-]{1,32}$/.test(given) ? given : undefined),
    }),
  },
  examples: ['| kubectl create -f -', '--redis-url rediss://redis.example.com:6380 | kubectl create -f -'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const {
    namespace,
    'redis-url': redisUrl,
    'redis-prefix': prefix,
  } = parseCommandLine(COMMAND, process.argv.slice(2)).values
  if (process.stdout.isTTY) {
    throw new Failure('the Secrets would stay on the screen: pipe them to kubectl create -f -')
  }
  const secrets = kubernetesSecrets(createDeploymentSecrets(Date.now(), prefix), { namespace, redisUrl })
  process.stdout.write(`${JSON.stringify(secrets)}\n`)
  return 0
}
