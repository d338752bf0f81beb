import { z } from 'zod'
import { describeIssue, parseJson } from '../parsing/issues.ts'
import { ADMIN_UNBOUND, API_KEYS_MAX, type ApiKey, apiKeyMembers } from './api-key.ts'

/** Faults of a file that its error names. */
const FAULTS_MAX = 3

const fileSchema = z
  .strictObject({
    keys: z
      .array(z.strictObject(apiKeyMembers).refine(ADMIN_UNBOUND.isMet, ADMIN_UNBOUND), { error: 'must be a list' })
      .max(API_KEYS_MAX, {
        error: `must have at most ${API_KEYS_MAX} API keys`,
      }),
  })
  .superRefine(({ keys }, context) => {
    const ids = new Set<string>()
    for (const [i, { id }] of keys.entries()) {
      if (ids.has(id)) context.addIssue({ code: 'custom', path: ['keys', i, 'id'], message: 'occurs twice' })
      ids.add(id)
    }
  })

/** A file of API keys that cannot be used. The message completes "FILE ...". */
export class KeyFileError extends Error {}

/** Reads the text of API_KEYS_FILE. Throws a KeyFileError, which quotes nothing of the text. */
export function parseKeyFile(text: string): ApiKey[] {
  const content = parseJson(z.unknown(), text)
  if (content === undefined) {
    throw new KeyFileError('is not JSON: expected {"keys": [...]}, as npm run keys -- create --file writes it')
  }
  const result = fileSchema.safeParse(content, { reportInput: false })
  if (result.success) return result.data.keys
  const faults = result.error.issues.flatMap(describeIssue)
  const named = faults.slice(0, FAULTS_MAX).map(({ field, detail }) => (field === '' ? detail : `${field} ${detail}`))
  const more = faults.length > named.length ? `; and ${faults.length - named.length} more` : ''
  throw new KeyFileError(`is not a file of API keys: ${named.join('; ')}${more}`)
}

/** Returns the text of a file of API keys, made for people: times are ISO 8601. */
export function formatKeyFile(keys: readonly ApiKey[]): string {
  const written = keys.map(({ expires_at: expiresAt, created_at: createdAt, ...rest }) => ({
    ...rest,
    expires_at: isoTime(expiresAt),
    created_at: isoTime(createdAt),
  }))
  return `${JSON.stringify({ keys: written }, null, 2)}\n`
}

function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
