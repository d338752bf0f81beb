import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Command, custom, integer, parseCommandLine, repeated, text } from '../../lib/options.ts'
import type { Published } from './services.ts'

const PUBLISH_FORM = 'SERVICE=PORT or NAMESPACE/SERVICE=PORT'

export const COMMAND = {
  call: 'npm run cluster:node --',
  summary:
    'Runs the pods of a cluster as processes of this computer: a stand-in for kubelet, kube-proxy and metrics-server.',
  details:
    'For a control plane without nodes: it registers nodes, starts the processes of the pods that the scheduler binds to ' +
    'them, on loopback addresses, runs their probes, reports their status, relays connections to Services, provides a ' +
    'folder for each claim, and serves metrics.k8s.io with their CPU and memory. It knows the images of Tidemark, Redis ' +
    'and Locust. docs/cluster.md describes what it cannot show. It ends with Ctrl-C, and with it all pods.',
  options: {
    context: text({ placeholder: 'NAME', help: "the context of the kubeconfig (default: kubectl's current one)" }),
    nodes: integer({ min: 1, max: 10, default: 2, help: 'how many nodes to register' }),
    cores: integer({ min: 1, max: 256, default: 8, help: 'the cores that each node reports' }),
    publish: repeated(
      custom({
        placeholder: 'SERVICE=PORT',
        help: 'makes a Service available at a port of 127.0.0.1, such as gateway=18080',
        form: PUBLISH_FORM,
        parse: parsePublished,
      }),
    ),
    image: repeated(
      custom({
        placeholder: 'IMAGE=FOLDER',
        help: 'the folder with main.mjs that stands for an image; others use packages/*/dist',
        form: 'IMAGE=FOLDER, with a main.mjs in the folder',
        parse: parseImage,
      }),
    ),
  },
  examples: ['--publish gateway=18080', '--image tidemark-gateway:0.1.0=../old/packages/gateway/dist'],
} satisfies Command

export type NodeOptions = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  return parseCommandLine(COMMAND, args).values
}

export function parsePublished(given: string): Published | undefined {
  const [, namespace = 'highload', name = '', port] = /^(?:([a-z0-9-]+)\/)?([a-z0-9-]+)=(\d{1,5})$/.exec(given) ?? []
  return port === undefined || Number(port) > 65_535 ? undefined : { name, namespace, port: Number(port) }
}

function parseImage(given: string): { readonly image: string; readonly folder: string } | undefined {
  const [, image = '', path = ''] = /^([^=]+)=(.+)$/.exec(given) ?? []
  const folder = resolve(path)
  return image !== '' && existsSync(join(folder, 'main.mjs')) ? { image, folder } : undefined
}
