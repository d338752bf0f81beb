import { existsSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { Failure, runCommand } from '../../lib/options.ts'
import { findProgram } from '../../lib/packages.ts'
import { ROOT, temporaryFolder } from '../../lib/project.ts'
import { interruptible } from '../../load/interruptible.ts'
import { findPython } from '../../load/python.ts'
import { Cluster } from '../kube.ts'
import { Addresses } from './addresses.ts'
import { Claims } from './claims.ts'
import { registerMetrics, startEndpoints } from './endpoints.ts'
import { Kubelet } from './kubelet.ts'
import { keepNode } from './node.ts'
import { COMMAND, type NodeOptions, readOptions } from './options.ts'
import type { Programs } from './program.ts'
import { ServiceProxy } from './services.ts'

const HOST_IP = '127.0.0.1'
const PODS_MAX = 110

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => {
  const options = readOptions(args)
  return interruptible(stop => run(options, stop))
})

async function run({ context, nodes, cores, publish, image }: NodeOptions, stop: AbortSignal): Promise<number> {
  await using resources = new AsyncDisposableStack()
  const programs = findPrograms(image)
  const cluster = resources.use(await Cluster.open(context))
  const folder = resources.use(await temporaryFolder('node'))
  const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`)
  const addresses = new Addresses()
  const claims = new Claims(cluster, join(folder.path, 'claims'))
  const say = (text: string): void => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)
  const places = { addresses, claims, programs, folder: folder.path, hostIp: HOST_IP }
  const kubelet = new Kubelet({ cluster, nodes: names, ...places, say })
  const { port } = resources.use(await startEndpoints(kubelet))
  const proxy = resources.use(new ServiceProxy(addresses, publish))
  const { gitVersion } = await cluster.get<{ gitVersion: string }>('/version')
  resources.use(await registerMetrics(cluster, port))
  say(`${names.join(', ')}: Kubernetes ${gitVersion}, logs and metrics on port ${port}. Stop with Ctrl-C.`)
  const node = { cores, memoryBytes: totalmem(), podsMax: PODS_MAX, hostIp: HOST_IP, port, version: gitVersion }
  await Promise.all([
    ...names.map((name, i) => keepNode(cluster, { ...node, name, zone: `zone-${i + 1}` }, stop)),
    claims.run(stop),
    proxy.run(cluster, stop),
    kubelet.run(stop),
  ])
  return 0
}

function findPrograms(images: NodeOptions['image']): Programs {
  const bundleOf = (service: string): string => join(ROOT, 'packages', service, 'dist')
  if (!existsSync(join(bundleOf('gateway'), 'main.mjs'))) throw new Failure('the bundles are missing: npm run build')
  return {
    bundles: new Map(images.map(({ image, folder }) => [image, folder])),
    bundleOf,
    node: process.execPath,
    redis: findProgram('redis-server', 'valkey-server'),
    python: findPython(),
    path: process.env.PATH ?? '',
  }
}
