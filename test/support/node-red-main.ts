import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** A message that reaches a node. */
interface Receipt {
  readonly destination: { readonly id: string }
  readonly msg: { readonly payload?: unknown }
}

/**
 * Runs flows in Node-RED, without its editor: node node-red-main.ts MODULES FLOWS RECORD. Appends
 * the node and the payload of each message to the file RECORD, as a line of JSON.
 */
const [modules = '', flowFile = '', record = ''] = process.argv.slice(2)
const load = createRequire(join(modules, 'package.json'))
const runtime = load('@node-red/runtime')
const util = load('@node-red/util')

const settings = {
  userDir: dirname(flowFile),
  flowFile,
  coreNodesDir: dirname(load.resolve('@node-red/nodes')),
  httpAdminRoot: false,
  httpNodeRoot: false,
  disableEditor: true,
  credentialSecret: false,
  telemetry: { enabled: false, updateNotification: false },
}
util.init(settings)
runtime.init(settings)
util.hooks.add('onReceive', ({ destination, msg }: Receipt) => {
  appendFileSync(record, `${JSON.stringify([destination.id, msg.payload ?? null])}\n`)
})
process.once('SIGTERM', () => void runtime.stop().then(() => process.exit()))
await runtime.start()
