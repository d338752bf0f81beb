import { z } from '@hono/zod-openapi'
import { ADMIN_UNBOUND, apiKeyFields, expiryMember } from '@tidemark/shared/access/api-key'
import { SCOPES } from '@tidemark/shared/access/scope'
import { KEY_SOURCES } from '../access/key-table.ts'
import { timeMember } from '../http/documentation.ts'

const limitsMember = z
  .strictObject({
    samples_per_s: z.number().optional(),
    requests_per_s: z.number().optional(),
    keys_max: z.int().optional(),
  })
  .describe('A member that is absent has the default of the deployment.')

const viewMembers = {
  id: z.string().openapi({ examples: ['0123456789ab'] }),
  name: z.string().openapi({ examples: ['edge-17'] }),
  scopes: z.array(z.enum(SCOPES)),
  key_prefix: z.string().describe('Only keys with this prefix may be written and read; empty for all.'),
  limits: limitsMember,
  expires_at: timeMember.nullable().describe('Unix milliseconds; null for never.'),
  created_at: timeMember.nullable(),
  created_by: z.string(),
  last_used_at: timeMember.nullable().describe('Unix milliseconds, to the minute; null for never.'),
  source: z.enum(KEY_SOURCES).describe('API_KEYS_FILE (file), or created through these routes (store).'),
}

export const viewSchema = z.strictObject(viewMembers).openapi('ApiKey')
export const createdSchema = z
  .strictObject({ ...viewMembers, token: z.string().describe('The API key itself. It cannot be read again.') })
  .openapi('CreatedApiKey')
export const listSchema = z.strictObject({ keys: z.array(viewSchema) }).openapi('ApiKeys')

const DAYS = /^(\d{1,5})d$/

/** Documents a member that `expiry` reads. */
const EXPIRY_FIELD = {
  type: ['string', 'integer', 'null'],
  description: 'A time with its time zone, Unix milliseconds, or days from now such as "90d"; null for never.',
}

function expiry(now: number) {
  const days = z
    .string()
    .regex(DAYS)
    .transform(text => now + Number(DAYS.exec(text)?.[1]) * 86_400_000)
  const error = 'must be a time with its zone, like 2027-01-31T18:00:00Z, Unix milliseconds, or days like "90d"'
  return z
    .union([days, expiryMember], { error })
    .refine(time => time > now, { error: 'must be in the future' })
    .nullable()
    .meta(EXPIRY_FIELD)
}

/** The body that creates an API key. */
export function newKeySchema(now: number) {
  return z
    .strictObject({
      name: apiKeyFields.name,
      scopes: apiKeyFields.scopes.meta({ type: 'array', items: { enum: SCOPES } }),
      key_prefix: apiKeyFields.key_prefix.default(''),
      limits: apiKeyFields.limits.default({}),
      expires_at: expiry(now).default(null),
    })
    .refine(ADMIN_UNBOUND.isMet, ADMIN_UNBOUND)
}

/** The body that changes one. Scopes and prefix are fixed: create another key instead. */
export function changedKeySchema(now: number) {
  return z
    .strictObject({ name: apiKeyFields.name, limits: apiKeyFields.limits, expires_at: expiry(now) })
    .partial()
    .refine(fields => Object.keys(fields).length > 0, { error: 'must have name, limits or expires_at' })
}
