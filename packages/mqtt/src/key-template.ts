/** A placeholder of a key template, or text between two. */
type Part = { readonly text: string } | { readonly level: number } | 'topic' | 'field'

export const TEMPLATE_RULE =
  'must be a text with {topic}, levels of the topic such as {2} or {-1}, and {field}, such as {2}/{field}'

/**
 * How a topic and a field of a payload become a key. `{topic}` is the whole topic, `{1}` its first
 * level, `{-1}` its last, and `{field}` the path of a value in the payload, with points:
 * `{"pm":{"p25":3}}` has the field `pm.p25`. Payloads of a single value have no field. A field
 * follows the rest after a slash if the template does not name it, so no two fields share a key.
 */
export class KeyTemplate {
  readonly #parts: readonly Part[]
  readonly #namesField: boolean

  /** Throws an Error with TEMPLATE_RULE. */
  constructor(template: string) {
    this.#parts = parseTemplate(template)
    this.#namesField = this.#parts.includes('field')
  }

  /** Returns the key; undefined if the topic has no such level. */
  keyOf(topic: string, field: string): string | undefined {
    let key = ''
    for (const part of this.#parts) {
      if (part === 'topic') key += topic
      else if (part === 'field') key += field
      else if ('text' in part) key += part.text
      else {
        const level = topic.split('/').at(part.level < 0 ? part.level : part.level - 1)
        if (level === undefined) return undefined
        key += level
      }
    }
    if (this.#namesField) return field === '' ? key.replace(/[/.:_-]+$/, '') : key
    return field === '' ? key : `${key}/${field}`
  }
}

function parseTemplate(template: string): Part[] {
  const parts: Part[] = []
  let at = 0
  for (const { 0: whole, 1: name = '', index } of template.matchAll(/\{([^{}]*)\}/g)) {
    if (index > at) parts.push({ text: template.slice(at, index) })
    at = index + whole.length
    if (name === 'topic' || name === 'field') parts.push(name)
    else if (/^-?[1-9]\d?$/.test(name)) parts.push({ level: Number(name) })
    else throw new Error(TEMPLATE_RULE)
  }
  if (at < template.length) parts.push({ text: template.slice(at) })
  const hasPlace = parts.some(part => part === 'topic' || (typeof part === 'object' && 'level' in part))
  if (!hasPlace || parts.some(part => typeof part === 'object' && 'text' in part && /[{}]/.test(part.text))) {
    throw new Error(TEMPLATE_RULE)
  }
  return parts
}
