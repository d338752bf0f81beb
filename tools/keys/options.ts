import { ADMIN_UNBOUND } from '@tidemark/shared/access/api-key'
import { SCOPES } from '@tidemark/shared/access/scope'
import {
  type Command,
  choice,
  commaSeparated,
  custom,
  integer,
  number,
  parseCommandLine,
  text,
  UsageError,
} from '../lib/options.ts'

const LIMIT_MAX = 1_000_000_000
const URL_DEFAULT = 'http://127.0.0.1:8080'

/** The variable with the API key that the program itself uses. */
export const TOKEN_VARIABLE = 'TIDEMARK_API_KEY'

const ACTIONS = ['create', 'list', 'revoke'] as const

export const COMMAND = {
  call: 'npm run keys --',
  summary: 'Creates, lists and revokes API keys, on a gateway or in a file.',
  operands: 'create|list|revoke ID',
  details:
    `On a gateway (--url), an API key with the scope admin is needed: in the variable ${TOKEN_VARIABLE} or in a file ` +
    '(--token-file), never on the command line, which other users can read. Without a gateway, --file adds to or removes ' +
    'from a file for API_KEYS_FILE: this is how the first API key of a deployment is made.' +
    '\n\n' +
    'create writes the API key to stdout, once: only its SHA-256 is stored.',
  options: {
    name: text({ placeholder: 'NAME', help: 'create: who uses it, in the audit log and in changes of rules' }),
    scopes: commaSeparated(
      choice(SCOPES, { placeholder: 'SCOPE,...', help: `create: what it may do: ${SCOPES.join(', ')}` }),
    ),
    prefix: text({ placeholder: 'PREFIX', help: 'create: only keys with this prefix, such as edge-17/' }),
    expires: custom({
      placeholder: 'WHEN',
      help: 'create: when it expires: days from now such as 90d, or a time such as 2027-01-31T18:00:00Z (default never)',
      form: 'days such as 90d, or a time with its zone such as 2027-01-31T18:00:00Z',
      parse: parseExpiry,
    }),
    'samples-per-s': number({ min: 0.001, max: LIMIT_MAX, help: 'create: its limit of samples a second' }),
    'requests-per-s': number({ min: 0.001, max: LIMIT_MAX, help: 'create: its limit of requests a second' }),
    'keys-max': integer({ min: 0, max: LIMIT_MAX, help: 'create: how many keys it may add' }),
    file: text({ placeholder: 'FILE', help: 'a file for API_KEYS_FILE, instead of a gateway' }),
    url: text({ placeholder: 'URL', help: `a gateway (default ${URL_DEFAULT})` }),
    'token-file': text({ placeholder: 'FILE', help: `a file with an API key, instead of ${TOKEN_VARIABLE}` }),
  },
  notes: 'docs/api-keys.md describes scopes, prefixes, limits and rotation.',
  examples: [
    'create --name admin --scopes admin --file api-keys.json',
    'create --name edge-17 --scopes ingest --prefix edge-17/ --expires 90d',
    'list --url https://tidemark.example --token-file admin.key',
    'revoke 0123456789ab',
  ],
} satisfies Command

export type KeysOptions = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  const { values, operands } = parseCommandLine(COMMAND, args)
  const [given, id, extra] = operands
  const action = ACTIONS.find(one => one === given)
  if (action === undefined) throw new UsageError(`Say what to do: ${ACTIONS.join(', ')}`)
  const unexpected = action === 'revoke' ? extra : id
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument '${unexpected}'`)
  if (action === 'revoke' && id === undefined) throw new UsageError('revoke requires the id of an API key')
  if (action === 'create' && (values.name === undefined || values.scopes.length === 0)) {
    throw new UsageError('create requires --name and --scopes')
  }
  if (values.prefix !== undefined && values.scopes.includes('admin')) {
    throw new UsageError(`--prefix ${ADMIN_UNBOUND.error}`)
  }
  if (values.file !== undefined && values.url !== undefined) throw new UsageError('Give --file or --url, not both')
  return {
    action,
    id: id ?? '',
    file: values.file,
    url: values.url ?? URL_DEFAULT,
    tokenFile: values['token-file'],
    key: {
      name: values.name ?? '',
      scopes: [...values.scopes],
      key_prefix: values.prefix ?? '',
      limits: {
        ...(values['samples-per-s'] !== undefined && { samples_per_s: values['samples-per-s'] }),
        ...(values['requests-per-s'] !== undefined && { requests_per_s: values['requests-per-s'] }),
        ...(values['keys-max'] !== undefined && { keys_max: values['keys-max'] }),
      },
      expires_at: values.expires ?? null,
    },
  }
}

/** Returns Unix milliseconds. */
function parseExpiry(given: string): number | undefined {
  const [, days] = /^(\d{1,5})d$/.exec(given) ?? []
  if (days !== undefined) return Number(days) > 0 ? Date.now() + Number(days) * 86_400_000 : undefined
  const time = /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:\d\d)$/.test(given) ? Date.parse(given) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}
