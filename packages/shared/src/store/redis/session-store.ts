import { ENDED_SESSIONS_MAX, type SessionStore } from '../ports/sessions.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

const SECRET = 'secret'

/** Followed by the id of a session; the value is when it expires. */
const ENDED = 'ended:'

/** How far the clocks of gateways may differ: an ended session is remembered for longer. */
const CLOCKS_DIFFER_MS = 3_600_000

export function createSessionStore({ client, keys: { sessions } }: StoreContext): SessionStore {
  async function read(): Promise<Map<string, string>> {
    return new Map(Object.entries(await client.hgetall(sessions)))
  }

  return withStoreErrors<SessionStore>({
    async load(secret) {
      let fields = await read()
      if (!fields.has(SECRET)) {
        await client.hsetnx(sessions, SECRET, secret)
        fields = await read()
      }
      const ended = [...fields.keys()].filter(field => field.startsWith(ENDED)).map(field => field.slice(ENDED.length))
      return { secret: fields.get(SECRET) ?? secret, ended }
    },

    async end(id, expiresAt) {
      await client.hset(sessions, `${ENDED}${id}`, expiresAt)
      const expiries = [...(await read())]
        .filter(([field]) => field.startsWith(ENDED))
        .map(([field, time]) => ({ field, time: Number(time) }))
        .toSorted((a, b) => a.time - b.time)
      const surplus = expiries.length - ENDED_SESSIONS_MAX
      const expired = expiries.filter(({ time }, i) => i < surplus || time < Date.now() - CLOCKS_DIFFER_MS)
      if (expired.length > 0) await client.hdel(sessions, ...expired.map(({ field }) => field))
    },
  })
}
