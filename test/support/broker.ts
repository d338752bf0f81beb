import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@tidemark/testkit/redis-process'
import { findProgram } from '@tidemark/tools/lib/packages'
import { Child } from '@tidemark/tools/stack/child'

const MOSQUITTO = findProgram('mosquitto', '/usr/sbin/mosquitto')

/** Whether mosquitto can run; false only where it is not installed and need not be. */
export function mosquittoAvailable(): boolean {
  if (MOSQUITTO !== undefined || process.env.CI === 'true') return true
  process.stderr.write('SKIPPED: these tests need mosquitto: install it with "apt-get install mosquitto"\n')
  return false
}

/** A broker that stores every change before the next packet, and can be killed. */
export class Broker implements AsyncDisposable {
  readonly port: number
  readonly #config: string
  #child: Child | undefined

  constructor(port: number, config: string) {
    this.port = port
    this.#config = config
  }

  static async start(more: readonly string[] = []): Promise<Broker> {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-mosquitto-'))
    const port = await freePort()
    const config = join(folder, 'mosquitto.conf')
    const lines = [
      ...[`listener ${port} 127.0.0.1`, 'persistence true', `persistence_location ${folder}/`, 'user root'],
      ...['autosave_on_changes true', 'autosave_interval 1', 'log_dest stderr', 'allow_anonymous true', ...more],
    ]
    await writeFile(config, `${lines.join('\n')}\n`)
    const broker = new Broker(port, config)
    await broker.run()
    return broker
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`
  }

  async run(): Promise<void> {
    if (MOSQUITTO === undefined) throw new Error('mosquitto is not installed: apt-get install mosquitto')
    const child = new Child({ name: 'mosquitto', file: MOSQUITTO, args: ['-c', this.#config], env: process.env })
    this.#child = child
    await child.ready(line => line.includes('running'), 60_000)
  }

  async kill(): Promise<void> {
    this.#child?.kill()
    await this.#child?.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.stop()
  }
}
