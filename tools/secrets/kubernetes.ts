import type { DeploymentSecrets } from '@tidemark/gateway/secrets/deployment-secrets'

interface Placement {
  readonly namespace: string
  readonly redisUrl: string
}

/** Returns the Secrets of a deployment on Kubernetes, as kubectl reads them. */
export function kubernetesSecrets(secrets: DeploymentSecrets, { namespace, redisUrl }: Placement) {
  const { usersAcl, passwords, apiKeysFile, operatorKey, canaryKey, loadTestKey } = secrets
  const passwordKeys = Object.entries(passwords).map(([user, password]) => [`${user}-password`, password])
  const data = {
    'tidemark-redis': { REDIS_URL: redisUrl, 'users.acl': usersAcl, ...Object.fromEntries(passwordKeys) },
    'tidemark-api-keys': { 'api-keys.json': apiKeysFile },
    'tidemark-operator': { 'api-key': operatorKey },
    'tidemark-canary': { 'api-key': canaryKey },
    'tidemark-load-test': { 'api-key': loadTestKey },
  }
  const items = Object.entries(data).map(([name, stringData]) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', type: 'Opaque' },
    ...{ metadata: { name, namespace, labels: { 'app.kubernetes.io/part-of': 'tidemark' } }, stringData },
  }))
  return { apiVersion: 'v1', kind: 'List', items }
}
