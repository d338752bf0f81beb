import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createDeploymentSecrets } from './deployment-secrets.ts'

/**
 * Makes the secrets of a deployment on one computer, for compose.yaml: `node secrets.mjs FOLDER`.
 * It leaves a folder that has them as it is.
 */

/** Containers read the files as users of their own. The folder is mounted into no others. */
const READABLE = 0o444

const [folder] = process.argv.slice(2)
if (folder === undefined) {
  process.stderr.write('node secrets.mjs FOLDER: name the folder for the secrets\n')
  process.exitCode = 2
} else {
  const { usersAcl, passwords, apiKeysFile, operatorKey, canaryKey, loadTestKey } = createDeploymentSecrets(Date.now())
  const exporter = { 'redis://exporter@redis:6379': passwords.exporter }
  // The last one is written when all others are: it says that the folder is complete.
  const files = {
    'redis-gateway': passwords.gateway,
    'redis-analyzer': passwords.analyzer,
    'redis-admin': passwords.admin,
    'redis-probe': passwords.probe,
    'redis-exporter.json': JSON.stringify(exporter),
    'api-key': `${operatorKey}\n`,
    'api-key-canary': `${canaryKey}\n`,
    'api-key-load-test': `${loadTestKey}\n`,
    'api-keys.json': apiKeysFile,
    'users.acl': usersAcl,
  }
  if (existsSync(join(folder, 'users.acl'))) {
    process.stdout.write(`${folder} has secrets; they stay as they are\n`)
  } else {
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of Object.entries(files)) {
      const path = join(folder, name)
      // One that an interrupted run left may be read-only.
      rmSync(path, { force: true })
      writeFileSync(path, text)
      chmodSync(path, READABLE)
    }
    process.stdout.write(`${folder} has new secrets: passwords of Redis and API keys. The API key is in api-key\n`)
  }
}
