import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { type Labels, ofKind, portOf, selects, workloads } from './manifest.ts'

const NAMESPACE = 'highload'

/** A pod or an external host, as network policies see it. */
interface Party {
  readonly name: string
  /** Undefined outside of the cluster. */
  readonly namespace?: Labels
  readonly labels?: Labels
  readonly address?: string
  /** Ports by name and number. Ports of other parties have no names. */
  readonly ports: ReadonlyMap<string, number>
}

const namespace = (name: string, labels: Labels = {}): Labels => ({ 'kubernetes.io/metadata.name': name, ...labels })

/** Other parties, allowed and not allowed ones. */
const OTHERS: readonly Party[] = [
  { name: 'dns', namespace: namespace('kube-system'), labels: { 'k8s-app': 'kube-dns' }, ports: numbered(53) },
  { name: 'another pod of kube-system', namespace: namespace('kube-system'), labels: {}, ports: numbered(53, 443) },
  {
    name: 'proxy',
    namespace: namespace('entry', { 'tidemark/gateway-client': 'true' }),
    labels: { app: 'proxy' },
    ports: numbered(80, 443),
  },
  {
    name: 'prometheus',
    namespace: namespace('monitoring'),
    labels: { 'app.kubernetes.io/name': 'prometheus' },
    ports: numbered(9090),
  },
  {
    name: 'collector',
    namespace: namespace('monitoring'),
    labels: { 'app.kubernetes.io/name': 'opentelemetry-collector' },
    ports: numbered(4317, 4318),
  },
  {
    name: 'alertmanager',
    namespace: namespace('monitoring'),
    labels: { 'app.kubernetes.io/name': 'alertmanager' },
    ports: numbered(9093, 9094),
  },
  {
    name: 'another pod of monitoring',
    namespace: namespace('monitoring'),
    labels: {},
    ports: numbered(9090, 9093, 4318),
  },
  { name: 'neighbour', namespace: namespace(NAMESPACE), labels: { app: 'neighbour' }, ports: numbered(80) },
  {
    name: 'impostor',
    namespace: namespace('default'),
    labels: {
      'tidemark/redis-client': 'true',
      'tidemark/gateway-client': 'true',
      'app.kubernetes.io/name': 'prometheus',
    },
    ports: numbered(80, 6379),
  },
  { name: 'outside Redis', address: '10.0.0.7', ports: numbered(6379, 6380) },
  { name: 'load balancer', address: '192.0.2.10', ports: numbered(443) },
  { name: 'broker', address: '10.0.0.8', ports: numbered(1883, 8883) },
  { name: 'internet', address: '203.0.113.9', ports: numbered(53, 80, 443, 6379) },
]

/**
 * Returns every allowed connection, as `gateway -> redis:6379`. A connection is allowed if one
 * policy allows it out and another one in. Connections between other namespaces are not considered.
 */
export function reachable(manifests: readonly Manifest[]): string[] {
  const policies = ofKind(manifests, 'NetworkPolicy')
  const ours = workloads(manifests).map((workload): Party => {
    const ports = workload.containers.flatMap(({ ports = [] }) => ports)
    const named = ports.map(({ name, containerPort }) => [name ?? '', portOf(workload, containerPort) ?? 0] as const)
    return { name: workload.name, namespace: namespace(NAMESPACE), labels: workload.labels, ports: new Map(named) }
  })
  const parties = [...ours, ...OTHERS]
  const found: string[] = []
  for (const from of parties) {
    for (const to of parties) {
      if (from === to || !(isOurs(from) || isOurs(to))) continue
      for (const port of to.ports.values()) {
        if (passes(policies, 'Egress', from, to, port) && passes(policies, 'Ingress', to, from, port, to)) {
          found.push(`${from.name} -> ${to.name}:${port}`)
        }
      }
    }
  }
  return found.sort()
}

/** Whether the policies of `party`, if any, allow it to talk to `peer` in this direction. */
function passes(
  policies: readonly INetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  party: Party,
  peer: Party,
  port: number,
  listener: Party = peer,
): boolean {
  if (!isOurs(party)) return true
  const mine = policies.filter(
    ({ spec }) => spec?.policyTypes?.includes(direction) && selects(spec.podSelector, party.labels ?? {}),
  )
  if (mine.length === 0) return true
  const rules = mine.flatMap(({ spec }) =>
    direction === 'Ingress'
      ? (spec?.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec?.egress ?? []).map(({ to, ports }) => ({ peers: to, ports })),
  )
  return rules.some(
    ({ peers, ports }) =>
      (peers === undefined || peers.some(it => isPeer(it, peer))) &&
      (ports === undefined || ports.some(it => it.port === port || listener.ports.get(String(it.port)) === port)),
  )
}

type Peer = NonNullable<NonNullable<NonNullable<INetworkPolicy['spec']>['ingress']>[number]['from']>[number]

function isPeer({ ipBlock, namespaceSelector, podSelector }: Peer, party: Party): boolean {
  if (ipBlock !== undefined) return party.address !== undefined && isWithin(party.address, ipBlock.cidr)
  if (party.namespace === undefined) return false
  const isThere =
    namespaceSelector === undefined
      ? party.namespace['kubernetes.io/metadata.name'] === NAMESPACE
      : selects(namespaceSelector, party.namespace)
  return isThere && selects(podSelector, party.labels ?? {})
}

function isOurs({ namespace }: Party): boolean {
  return namespace?.['kubernetes.io/metadata.name'] === NAMESPACE
}

/** The addresses of the parties are of IPv4: no block of IPv6 has them. */
function isWithin(address: string, cidr: string): boolean {
  if (cidr.includes(':')) return false
  const [network = '', bits = '32'] = cidr.split('/')
  const number = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - Number(bits))
  return Math.floor(number(address) / size) === Math.floor(number(network) / size)
}

function numbered(...ports: readonly number[]): ReadonlyMap<string, number> {
  return new Map(ports.map(port => [String(port), port]))
}
