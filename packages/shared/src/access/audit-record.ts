import { z } from 'zod'

/** What is known of a change before it is made. */
export interface AuditIntent {
  /** The caller's name, and the id of its API key. */
  readonly who: string
  readonly keyId: string
  readonly via: string
  /** The address that the request came from. */
  readonly address: string
  readonly method: string
  /** The route's template, such as `/rules/:id`. */
  readonly route: string
  /** The route's operation, such as `putRule`. */
  readonly action: string
  /** What is changed: an id, a key or a prefix. */
  readonly subject: string | null
}

/** What became of a change. */
export interface AuditResult {
  /** The status of the response. */
  readonly status: number
  /** What was changed, if it is known only now. */
  readonly subject?: string | undefined
  /** What was there before and after it, in short. */
  readonly before?: string | undefined
  readonly after?: string | undefined
}

const intentSchema: z.ZodType<AuditIntent> = z.object({
  who: z.string(),
  keyId: z.string(),
  via: z.string(),
  address: z.string(),
  method: z.string(),
  route: z.string(),
  action: z.string(),
  subject: z.string().nullable(),
})

const resultSchema: z.ZodType<AuditResult> = z.object({
  status: z.int(),
  subject: z.string().optional(),
  before: z.string().optional(),
  after: z.string().optional(),
})

/** Undefined for a text that is not a stored intent. A later version may have added members. */
export function parseAuditIntent(text: string): AuditIntent | undefined {
  return parse(intentSchema, text)
}

/** Undefined for a text that is not a stored result. */
export function parseAuditResult(text: string): AuditResult | undefined {
  return parse(resultSchema, text)
}

function parse<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
