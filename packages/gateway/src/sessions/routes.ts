import { z } from '@hono/zod-openapi'
import { SCOPES } from '@tidemark/shared/access/scope'
import type { Context } from 'hono'
import type { Authentication } from '../access/authentication.ts'
import type { Principal } from '../access/principal.ts'
import type { Sessions } from '../access/sessions.ts'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS, problem } from '../http/documentation.ts'
import { exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { noQuery } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'

/** Longer than any API key. */
const KEY_LENGTH_MAX = 1000

const keyMember = z.string({ error: 'must be a text' }).trim().min(1, 'must not be empty').max(KEY_LENGTH_MAX)
const loginSchema = z
  .strictObject({ api_key: keyMember.optional(), token: keyMember.optional() })
  .refine(({ api_key: key, token }) => (key === undefined) !== (token === undefined), {
    path: ['api_key'],
    error: 'must be an API key (token is accepted as another name for it)',
  })

export const callerSchema = z
  .strictObject({
    id: z.string().describe('The id of the API key; anonymous without authentication.'),
    name: z.string().describe('Who changes of rules, alerts and dead letters are recorded under.'),
    scopes: z.array(z.enum(SCOPES)),
    key_prefix: z.string().describe('Only keys with this prefix can be written and read.'),
    via: z.enum(['open', 'api-key', 'session']),
    expires_at: z.number().nullable().describe('When the session ends, in Unix milliseconds; null if it is none.'),
  })
  .openapi('Caller')

const CALLER = {
  id: '0123456789ab',
  name: 'mira',
  scopes: ['read', 'operate'],
  key_prefix: '',
  via: 'session',
  expires_at: 1_795_665_600_000,
}

const SET_COOKIE = {
  headers: { 'Set-Cookie': { description: 'The cookie of the session.', schema: { type: 'string' as const } } },
}

const WRONG_KEY = problem('The API key is not in force.', 'unauthenticated')

const loginRoute = createRoute({
  method: 'post',
  path: '/login',
  access: 'open',
  operationId: 'login',
  summary: 'Begins a session of a browser with an API key',
  description:
    'The response sets a cookie that scripts cannot read. It ends after SESSION_TTL_MS, by `POST /logout`, and with ' +
    'the API key. Changes with it need an Origin header, which browsers send.',
  request: { query: noQuery, body: jsonBody(loginSchema, { api_key: 'tmk_0123456789ab_SECRET' }) },
  responses: {
    200: { ...json('Signed in.', callerSchema, { session: CALLER }), ...SET_COOKIE },
    ...BODY_PROBLEMS,
    401: WRONG_KEY,
    409: problem('There is no authentication, so there are no sessions.', 'authentication-off'),
  },
})

const logoutRoute = createRoute({
  method: 'post',
  path: '/logout',
  access: 'open',
  operationId: 'logout',
  summary: 'Ends the session of the cookie, on every gateway within 2 s',
  request: { query: noQuery },
  responses: {
    200: {
      ...json(
        'Signed out; `ended` says whether there was a session.',
        z.strictObject({ ended: z.boolean() }).openapi('SignedOut'),
        { ended: { ended: true } },
      ),
      ...SET_COOKIE,
    },
    ...PROBLEMS,
  },
})

const sessionRoute = createRoute({
  method: 'get',
  path: '/session',
  access: 'open',
  operationId: 'session',
  summary: 'Who the caller is, and what the caller may do',
  request: { query: noQuery },
  responses: {
    200: json('By a session, an API key, or without authentication.', callerSchema, { session: CALLER }),
    ...PROBLEMS,
    401: problem('No credentials, or they are not in force.', 'unauthenticated'),
  },
})

interface SessionsRoutesOptions extends Pick<RoutesOptions, 'readFields' | 'services'> {
  readonly authentication: Authentication
  readonly sessions: Sessions
}

/** `POST /login`, `POST /logout` and `GET /session`. */
export function sessionsRoutes({ authentication, sessions, services, readFields }: SessionsRoutesOptions): Router {
  const router = createRouter('Sessions')

  serve(router, loginRoute, async c => {
    const { api_key: apiKey = '', token = apiKey } = await readFields(c, loginSchema)
    const key = authentication.verify(token)
    if (key === 'pending' || !sessions.isLoaded) throw new RequestFault({ kind: 'store-unavailable' })
    if (!authentication.isEnabled && authentication.table.size === 0) {
      throw new RequestFault({ kind: 'authentication-off' })
    }
    if (typeof key === 'string') throw new RequestFault({ kind: 'unauthenticated' })
    const { cookie, expiresAt } = sessions.begin(key)
    return c.json(view({ ...key.principal, via: 'session' }, expiresAt), 200, { 'Set-Cookie': cookie })
  })

  serve(router, logoutRoute, async c => {
    const session = sessionOf(c)
    if (session !== undefined) await sessions.end(session, services().store.sessions)
    return c.json({ ended: session !== undefined }, 200, { 'Set-Cookie': sessions.removal() })
  })

  serve(router, sessionRoute, c => {
    const { headers, connection } = exchangeOf(c)
    const caller = authentication.identify(headers, connection)
    if (caller === 'pending') throw new RequestFault({ kind: 'store-unavailable' })
    if (typeof caller === 'string') throw new RequestFault({ kind: 'unauthenticated' })
    return c.json(view(caller, caller.via === 'session' ? sessionOf(c)?.expiresAt : undefined), 200)
  })

  function sessionOf(c: Context) {
    const { cookie } = exchangeOf(c).headers
    return typeof cookie === 'string' ? sessions.find(cookie) : undefined
  }

  return router
}

function view({ id, name, scopes, keyPrefix, via }: Principal, expiresAt?: number) {
  return { id, name, scopes: [...scopes], key_prefix: keyPrefix, via, expires_at: expiresAt ?? null }
}
