import { resolve } from 'node:path'
import { runCommand } from '../lib/options.ts'
import { formatTable } from '../lib/table.ts'
import { openGateway } from './gateway.ts'
import { createInFile, listInFile, revokeInFile } from './key-file.ts'
import { COMMAND, type KeysOptions, readOptions } from './options.ts'

interface Listed {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly key_prefix: string
  readonly expires_at: number | null
  readonly last_used_at?: number | null
  readonly source?: string
}

const ACTIONS = {
  /** Writes the token alone to stdout, so that a script can take it. */
  async create(options: KeysOptions): Promise<void> {
    const file = pathOf(options)
    const { token, id } =
      file === undefined ? await (await openGateway(options)).create(options.key) : await createInFile(file, options)
    process.stderr.write(
      `The API key ${id} is created${file === undefined ? '' : ` in ${file}`}. It is shown only once:\n`,
    )
    process.stdout.write(`${token}\n`)
  },

  async list(options: KeysOptions): Promise<void> {
    const file = pathOf(options)
    const keys: readonly Listed[] =
      file === undefined ? await (await openGateway(options)).list() : await listInFile(file)
    const rows = keys.map(key => [
      key.id,
      key.name,
      key.scopes.join(','),
      key.key_prefix,
      timeOf(key.expires_at, 'never'),
      timeOf(key.last_used_at, '-'),
      key.source ?? 'file',
    ])
    process.stdout.write(`${formatTable(['id', 'name', 'scopes', 'prefix', 'expires', 'last used', 'source'], rows)}\n`)
  },

  async revoke(options: KeysOptions): Promise<void> {
    const file = pathOf(options)
    if (file === undefined) await (await openGateway(options)).revoke(options.id)
    else await revokeInFile(file, options.id)
    process.stderr.write(`The API key ${options.id} is revoked: no gateway accepts it after 2 s.\n`)
  },
}

/** npm runs scripts in the project's folder; paths are of the caller's. */
function pathOf({ file }: KeysOptions): string | undefined {
  return file === undefined ? undefined : resolve(process.env.INIT_CWD ?? '.', file)
}

function timeOf(ms: number | null | undefined, none: string): string {
  return ms === null || ms === undefined ? none : new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
}

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, async () => {
  const options = readOptions(args)
  await ACTIONS[options.action](options)
  return 0
})
