/** What an API key may do. Scopes are independent: none includes another. */
export const SCOPES = ['ingest', 'read', 'operate', 'admin'] as const
export type Scope = (typeof SCOPES)[number]
