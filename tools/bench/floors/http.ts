import { respond, serveSamples } from './bodies.ts'

/** The minimal Node server for a sample: parse the body, check it with the schema, respond. */
const RESPONSE = JSON.stringify({ accepted: 1, rejected: [], receipts: ['0:1700000000000-0'], durability: 'local' })

serveSamples((_text, outgoing) => respond(outgoing, RESPONSE))
