/** A shorter text may be part of any line. Secrets that short are kept out of lines one by one. */
const SECRET_LENGTH_MIN = 6

/** A part of a webhook's path or a query that is at least so long is taken for a token. */
const TOKEN_LENGTH_MIN = 16

const REDACTED = '[redacted]'

/** The secret of an API key, in any line; its id stays, which says which key to revoke. */
const API_KEY_SECRET = /\b(tmk_[0-9a-z]+_)[0-9A-Za-z]+/g

/** Settings whose whole values are secret, separated by commas. */
const SECRET_SETTING = /(?:SECRET|PASSWORD|TOKEN|_HEADERS)$/

/**
 * Returns every secret in the values of settings, in each form in which it may appear in a log:
 * passwords of URLs, tokens in their paths and queries, signing secrets and headers.
 */
export function secretsIn(env: Readonly<Record<string, string | undefined>>): string[] {
  const secrets = new Set<string>()
  for (const [name, value = ''] of Object.entries(env)) {
    if (SECRET_SETTING.test(name)) for (const part of value.split(',')) secrets.add(part.replace(/^[\w-]+=/, ''))
    if (!/^[A-Z0-9_]*URLS?$|_ENDPOINT$/.test(name)) continue
    for (const part of value.split(/,(?=[a-z]+:\/\/)/)) for (const secret of secretsOfUrl(part)) secrets.add(secret)
  }
  const forms = [...secrets].flatMap(secret => [secret, decoded(secret), encodeURIComponent(secret)])
  const written = forms.flatMap(form => [form, JSON.stringify(form).slice(1, -1)])
  // The longest first: one may be a part of another.
  return [...new Set(written)].filter(({ length }) => length >= SECRET_LENGTH_MIN).sort((a, b) => b.length - a.length)
}

/** Returns the line without the secrets, and without those of API keys. */
export function redact(line: string, secrets: readonly string[]): string {
  const rest = secrets.reduce((text, secret) => text.replaceAll(secret, REDACTED), line)
  return rest.includes('tmk_') ? rest.replace(API_KEY_SECRET, `$1${REDACTED}`) : rest
}

/** Without the URL class, which rejects a URL with a password such as `a#b`. */
function secretsOfUrl(url: string): string[] {
  const [, authority = '', place = ''] = /^[a-z]+:\/\/(?:(.*)@)?(.*)$/s.exec(url.trim()) ?? []
  const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(authority) ?? []
  const basic = Buffer.from(`${decoded(user)}:${decoded(password)}`).toString('base64')
  const tokens = place.split(/[/?&=#]/).slice(1)
  return [...(password === '' ? [] : [password, basic]), ...tokens.filter(({ length }) => length >= TOKEN_LENGTH_MIN)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
