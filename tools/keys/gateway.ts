import { readFile } from 'node:fs/promises'
import { Client } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import { idInToken, isMisspelled } from '@tidemark/shared/access/token'
import { z } from 'zod'
import { Failure } from '../lib/options.ts'
import { type KeysOptions, TOKEN_VARIABLE } from './options.ts'

const createdSchema = z.object({ id: z.string(), token: z.string() })
const listSchema = z.object({
  keys: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      scopes: z.array(z.string()),
      key_prefix: z.string(),
      expires_at: z.number().nullable(),
      last_used_at: z.number().nullable(),
      source: z.string(),
    }),
  ),
})

/** The routes of a gateway, called with the API key that the environment or a file has. */
export async function openGateway({ url, tokenFile }: Pick<KeysOptions, 'url' | 'tokenFile'>) {
  const token = await readToken(tokenFile)
  const client = new Client({ url, ...(token !== undefined && { apiKey: token }) })

  async function call<T extends z.ZodType>(schema: T, method: string, path: string, body?: unknown) {
    try {
      return schema.parse(await client.call(method, path, { body, retryForMs: 0 }))
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error
      const isAbsent = error.status === 0
      const message = isAbsent ? `no gateway responds at ${url}: start it, or name another with --url` : error.message
      throw new Failure(message, { cause: error })
    }
  }

  return {
    create: (key: KeysOptions['key']) => call(createdSchema, 'POST', '/api-keys', key),
    list: async () => (await call(listSchema, 'GET', '/api-keys')).keys,
    revoke: (id: string) => call(z.unknown(), 'DELETE', `/api-keys/${encodeURIComponent(id)}`),
  }
}

/** Without an API key, only a gateway that needs none can be used. */
async function readToken(file: string | undefined): Promise<string | undefined> {
  const from = file ?? TOKEN_VARIABLE
  const text = file === undefined ? process.env[TOKEN_VARIABLE] : await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined && file !== undefined) throw new Failure(`${file} cannot be read`)
  const token = text?.trim()
  if (token === undefined || token === '') return undefined
  if (idInToken(token) === undefined) throw new Failure(`${from} has no API key: it must begin with tmk_`)
  if (isMisspelled(token)) throw new Failure(`the API key in ${from} is misspelled: its checksum is wrong`)
  return token
}
