import { KeyTemplate } from '@tidemark/shared/sample/key-template'

const FIELD = '{field}'

/** Payloads of a single value have no field, and nothing that separates it. */
const AT_END = /[/.:_-]*\{field\}$/

const LEVEL = /^-?[1-9]\d?$/

/**
 * How a topic and a field of a payload become a key, by a KeyTemplate: `{topic}` is the whole
 * topic, `{1}` its first level, `{-1}` its last, and `{field}` the path of a value in the payload,
 * with points: `{"pm":{"p25":3}}` has the field `pm.p25`. A field follows the rest after a slash if
 * the template does not name it, so no two fields share a key.
 */
export class TopicTemplate {
  readonly #ofField: KeyTemplate
  readonly #ofValue: KeyTemplate
  readonly #levels: readonly number[]

  /** Throws an Error that says what is wrong with the template, as the end of a sentence. */
  constructor(text: string) {
    const complete = text.includes(FIELD) ? text : `${text}/${FIELD}`
    const single = complete === text ? text.replace(AT_END, '') : text
    this.#ofField = new KeyTemplate(complete, ['field'])
    this.#ofValue = new KeyTemplate(single, single.includes(FIELD) ? ['field'] : [])
    const { labels, hasRest } = this.#ofField
    const unknown = hasRest ? 'tags' : labels.find(name => name !== 'topic' && !LEVEL.test(name))
    if (unknown !== undefined) {
      throw new Error(`has {${unknown}}: there are {topic}, levels of it such as {2} or {-1}, and ${FIELD}`)
    }
    if (labels.length === 0) throw new Error('must have {topic} or a level of it, such as {2} or {-1}')
    this.#levels = labels.filter(name => name !== 'topic').map(Number)
  }

  /** Returns what makes the keys of the fields of a payload; undefined without such a level. */
  keysOf(topic: string): ((field: string) => string) | undefined {
    const parts = topic.split('/')
    const labels: [string, string][] = [['topic', topic]]
    for (const level of this.#levels) {
      const part = parts.at(level < 0 ? level : level - 1)
      if (part === undefined) return undefined
      labels.push([String(level), part])
    }
    const open = this.#ofField.open([], labels)
    return field => (field === '' ? this.#ofValue.key([''], labels) : this.#ofField.close(open, field))
  }
}
