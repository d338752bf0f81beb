import { z } from 'zod'
import { DEAD_LIMIT_DEFAULT, DEAD_LIMIT_MAX } from '../dead-letters/routes.ts'
import { cursorMember, type Json, outage, parameter, pathParameter, problem, ref, timeMember } from './parts.ts'

export const deadPageSchema = z.strictObject({
  dead: z.array(
    z.strictObject({
      id: z.string().meta({ description: 'The receipt of the entry.', examples: ['3:1700000000000-0'] }),
      reason: z.string().meta({ examples: ['its field "s" is not JSON'] }),
      samples: z
        .string()
        .meta({ description: 'What could be read of its samples: a flat JSON array, if all is well.' }),
      accepted_at: timeMember,
    }),
  ),
  cursor: cursorMember,
})

export const DEAD_COMPONENTS = { DeadPage: deadPageSchema } as const

export function deadPaths(): Json {
  return {
    '/dead': { get: describeDead() },
    '/dead/{id}/put-back': { post: describePutBack() },
    '/dead/{id}/discard': { post: describeDiscard() },
  }
}

function describeDead(): Json {
  return {
    operationId: 'dead',
    tags: ['Operations'],
    summary: 'Entries that could not be read, or that ended every analyzer that tried; newest first',
    parameters: [
      parameter('cursor', { type: 'string' }, 'Of the page before.'),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: DEAD_LIMIT_MAX, default: DEAD_LIMIT_DEFAULT },
        'Entries in a page.',
      ),
    ],
    responses: {
      200: { description: 'A page.', content: { 'application/json': { schema: ref('DeadPage') } } },
      400: problem('A parameter breaks a rule.'),
      405: problem('Only GET and HEAD.'),
      503: outage('The store does not answer.'),
    },
  }
}

const DEAD_ID = pathParameter('id', 'As GET /dead gives it, for example `3:1700000000000-0`.')

function describePutBack(): Json {
  const accepted = { accepted: { type: 'integer' }, receipts: { type: 'array', items: { type: 'string' } } }
  return {
    operationId: 'putBackDead',
    tags: ['Operations'],
    summary: 'Accepts the samples of a dead entry anew',
    parameters: [DEAD_ID],
    responses: {
      202: {
        description: 'Accepted, under a new receipt.',
        content: { 'application/json': { schema: { type: 'object', properties: accepted } } },
      },
      404: problem('There is no dead entry of this id.'),
      405: problem('Only POST.'),
      409: problem('It cannot be read, so it can only be discarded.'),
      503: outage('It could not be stored.'),
    },
  }
}

function describeDiscard(): Json {
  return {
    operationId: 'discardDeadLetter',
    tags: ['Operations'],
    summary: 'Forgets a dead entry for good',
    parameters: [DEAD_ID],
    responses: {
      200: {
        description: 'Discarded.',
        content: {
          'application/json': { schema: { type: 'object', properties: { discarded: { type: 'string' } } } },
        },
      },
      404: problem('There is no dead entry of this id.'),
      405: problem('Only POST.'),
      503: outage('The store does not answer.'),
    },
  }
}
