/** The page that shows how other systems send to this route. */
const AGENTS = 'see docs/agents.md'

const REMOTE_WRITE = `this is Prometheus remote write, which /ingest does not read: receive it with Telegraf (prometheusremotewrite) and send it from there; ${AGENTS}`

const OTLP = `this is OTLP, which /ingest does not read: receive it with Telegraf (inputs.opentelemetry) and send it from there; ${AGENTS}`

/** Formats of other systems, by a member that no item of Tidemark has, or not as an array. */
const FORMATS: ReadonlyMap<string, string> = new Map([
  ['resourceMetrics', OTLP],
  ['resourceLogs', OTLP],
  ['resourceSpans', OTLP],
  ['timeseries', REMOTE_WRITE],
])

/**
 * Says which system's format an item is in and what to configure; undefined for any other item. It
 * is called for items that were rejected.
 */
export function foreignHint(item: unknown): string | undefined {
  if (Array.isArray(item)) return isItem(item[0]) ? 'must be an object, not an array: send all in one array' : undefined
  if (typeof item === 'string' && /^\s*[{[]/.test(item)) return 'must be an object, not a text: it was encoded twice'
  if (typeof item !== 'object' || item === null) return undefined
  if (Object.hasOwn(item, 'key') || Object.hasOwn(item, 'device')) return undefined
  for (const [name, value] of Object.entries(item)) {
    const isList = Array.isArray(value)
    const isOurs = isList && isItem(value[0])
    const hint = isList && !isOurs ? FORMATS.get(name) : undefined
    if (hint !== undefined) return hint
    if (isList && typeof value[0] === 'object')
      return `member ${JSON.stringify(name.slice(0, 64))} is an array of objects: send that array as the body`
  }
  return undefined
}

function isItem(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Object.hasOwn(value, 'key') || Object.hasOwn(value, 'device'))
}
