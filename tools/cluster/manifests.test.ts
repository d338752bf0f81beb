import { expect, test } from 'vitest'
import { loaderFor, serviceOf, withTag } from './images.ts'
import { imagesOf, type Manifest, missingKinds } from './manifests.ts'

const MANIFESTS: readonly Manifest[] = [
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 'gateway' } },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'gateway' },
    spec: { template: { spec: { containers: [{ name: 'gateway', image: 'tidemark-gateway:1' }] } } },
  },
  { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'gateway' } },
]

test('kinds that the API server does not serve are named', () => {
  const served = new Set(['Service (v1)', 'Deployment (apps/v1)'])
  expect(missingKinds(MANIFESTS, served)).toEqual(['HTTPRoute (gateway.networking.k8s.io/v1)'])
})

test('the images of all pods are found, and which of them are services of this project', () => {
  expect(imagesOf(MANIFESTS)).toEqual(['tidemark-gateway:1'])
  expect(serviceOf('tidemark-gateway:1')).toBe('gateway')
  expect(serviceOf('registry.example.com/tidemark/gateway:1')).toBeUndefined()
  expect(serviceOf('redis:7')).toBeUndefined()
  expect(withTag('registry.example.com:5000/gateway:1', '2')).toBe('registry.example.com:5000/gateway:2')
  expect(withTag('registry.example.com:5000/gateway', '2')).toBe('registry.example.com:5000/gateway:2')
})

test.each([
  ['kind-tidemark', 'kind'],
  ['k3d-one', 'k3d'],
  ['minikube', 'minikube'],
  ['production', undefined],
])('images are loaded into the cluster of the context %s by %s', (context, expected) => {
  expect(loaderFor(context)?.name).toBe(expected)
})
