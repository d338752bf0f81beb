import { z } from 'zod'
import { parseJson } from '../parsing/issues.ts'
import { SCOPES, type Scope } from './scope.ts'
import { createToken, digestOfToken, KEY_ID_FORM } from './token.ts'

/** API keys of a deployment, those of the file and of the store each. */
export const API_KEYS_MAX = 10_000

const NAME_LENGTH_MAX = 100
const PREFIX_LENGTH_MAX = 1024
const LIMIT_MAX = 1_000_000_000

/** C0 and C1 control characters and DEL: names are in logs, prefixes in keys. */
const CONTROL_CHARACTER = /\p{Cc}/u
const isPrintable = (text: string): boolean => !CONTROL_CHARACTER.test(text) && text.isWellFormed()

const EXPIRY_RULE = 'must be a time with its zone, like 2027-01-31T18:00:00Z, or Unix milliseconds'
/** When an API key expires, parsed as Unix milliseconds. */
export const expiryMember = z.union(
  [z.int().min(0), z.iso.datetime({ offset: true }).transform(text => Date.parse(text))],
  {
    error: EXPIRY_RULE,
  },
)

const limit = (min: number, what: string) => {
  const error = `must be ${what} from ${min} to ${LIMIT_MAX}`
  const number = what === 'an integer' ? z.int({ error }) : z.number({ error })
  return number.min(min, { error }).max(LIMIT_MAX, { error }).optional()
}

/** What an operator decides about an API key. A message completes a sentence about its field. */
export const apiKeyFields = {
  name: z
    .string({ error: 'must be a text' })
    .trim()
    .min(1, { error: 'must not be empty' })
    .max(NAME_LENGTH_MAX, { error: `must be at most ${NAME_LENGTH_MAX} characters long` })
    .refine(isPrintable, { error: 'must not contain control characters or lone surrogates' }),
  scopes: z
    .array(z.enum(SCOPES, { error: `must be one of ${SCOPES.join(', ')}` }), { error: 'must be a list of scopes' })
    .min(1, { error: `must name at least one of ${SCOPES.join(', ')}` })
    .transform(scopes => SCOPES.filter(scope => scopes.includes(scope))),
  key_prefix: z
    .string({ error: 'must be a text' })
    .max(PREFIX_LENGTH_MAX, { error: `must be at most ${PREFIX_LENGTH_MAX} characters long` })
    .refine(isPrintable, { error: 'must not contain control characters or lone surrogates' }),
  limits: z.strictObject(
    {
      samples_per_s: limit(0.001, 'a number'),
      requests_per_s: limit(0.001, 'a number'),
      keys_max: limit(0, 'an integer'),
    },
    { error: issue => (issue.code === 'invalid_type' ? 'must be a JSON object' : undefined) },
  ),
} as const

/** An administrator could create a key without the prefix, so the prefix would be no limit. */
export const ADMIN_UNBOUND = {
  isMet: ({ scopes, key_prefix: prefix }: { scopes: readonly Scope[]; key_prefix: string }): boolean =>
    prefix === '' || !scopes.includes('admin'),
  path: ['key_prefix'],
  error: 'must be empty for the scope admin: an administrator could create an API key without it',
}

/** The members of an API key in a file. Times are Unix milliseconds. */
export const apiKeyMembers = {
  id: z.string().regex(KEY_ID_FORM, { error: 'must be 12 digits and lower-case letters' }),
  name: apiKeyFields.name,
  scopes: apiKeyFields.scopes,
  key_prefix: apiKeyFields.key_prefix.default(''),
  limits: apiKeyFields.limits.default({}),
  /** Null: never. */
  expires_at: expiryMember.nullable().default(null),
  sha256: z
    .string({ error: 'must be a text' })
    .regex(/^[0-9a-f]{64}$/, { error: 'must be the SHA-256 of the API key: 64 digits and letters a to f' }),
  created_at: expiryMember.nullable().default(null),
  created_by: z.string().max(1000).default(''),
} as const

/** An API key in the store. A later version may add members: they are kept. */
const apiKeySchema = z
  .looseObject({ ...apiKeyMembers, limits: z.looseObject(apiKeyFields.limits.shape) })
  .refine(ADMIN_UNBOUND.isMet, ADMIN_UNBOUND)

export type ApiKey = z.output<z.ZodObject<typeof apiKeyMembers>>

/** Limits of one API key. A member that is undefined means the deployment's default. */
export interface KeyLimits {
  readonly samplesPerS?: number | undefined
  readonly requestsPerS?: number | undefined
  /** Keys (series of samples) that it may create. */
  readonly keysMax?: number | undefined
}

export function limitsOf({ limits }: ApiKey): KeyLimits {
  return { samplesPerS: limits.samples_per_s, requestsPerS: limits.requests_per_s, keysMax: limits.keys_max }
}

type NewApiKey = Omit<ApiKey, 'id' | 'sha256'>

/** Creates an API key with its secret, which is not part of the record. */
export function createApiKey(fields: NewApiKey): { readonly token: string; readonly record: ApiKey } {
  const { id, token } = createToken()
  return { token, record: { id, ...fields, sha256: digestOfToken(token).toString('hex') } }
}

export function formatApiKey(record: ApiKey): string {
  return JSON.stringify(record)
}

/** Returns undefined for a text that is not an API key. */
export function parseApiKey(text: string): ApiKey | undefined {
  return parseJson(apiKeySchema, text)
}
