export type Span =
  | { readonly kind: 'text' | 'code'; readonly text: string }
  | { readonly kind: 'link'; readonly text: string; readonly target: string }

export type Block =
  | { readonly kind: 'heading'; readonly level: number; readonly id: string; readonly spans: readonly Span[] }
  | { readonly kind: 'paragraph'; readonly spans: readonly Span[] }
  | { readonly kind: 'code'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly (readonly Span[])[] }
  | {
      readonly kind: 'table'
      readonly head: readonly (readonly Span[])[]
      readonly rows: readonly (readonly Span[])[][]
    }

/** Reads the Markdown that our documents use: headings, paragraphs, lists, tables, code, links. */
export function parseMarkdown(text: string): Block[] {
  return text
    .split(/\n{2,}/)
    .filter(block => block.trim() !== '')
    .map(toBlock)
}

function toBlock(text: string): Block {
  const heading = /^(#+) (.*)$/.exec(text.trim())
  if (heading !== null) {
    const [, marks = '', title = ''] = heading
    return { kind: 'heading', level: marks.length, id: idOf(title), spans: toSpans(title) }
  }
  const lines = text.split('\n').filter(line => line !== '')
  if (lines.every(line => line.startsWith('    ')))
    return { kind: 'code', text: lines.map(line => line.slice(4)).join('\n') }
  if (/^[-*] |^\d+\. /.test(text)) {
    const items = text.split(/\n(?=[-*] |\d+\. )/)
    return { kind: 'list', items: items.map(item => toSpans(joined(item.replace(/^([-*]|\d+\.) /, '')))) }
  }
  if (lines.length > 2 && lines.every(line => line.startsWith('|'))) {
    const [head = [], , ...rows] = lines.map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => toSpans(cell.trim())),
    )
    return { kind: 'table', head, rows }
  }
  return { kind: 'paragraph', spans: toSpans(joined(text)) }
}

const joined = (text: string): string => text.replaceAll(/\s*\n\s*/g, ' ').trim()

/** As GitHub makes the ids of headings. */
const idOf = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

function toSpans(text: string): Span[] {
  const parts = text.split(/(`[^`]+`|\[[^\]]+\]\([^)]+\))/)
  return parts.flatMap((part): Span[] => {
    if (part === '') return []
    const link = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part)
    if (link !== null) return [{ kind: 'link', text: link[1] ?? '', target: link[2] ?? '' }]
    return part.startsWith('`') ? [{ kind: 'code', text: part.slice(1, -1) }] : [{ kind: 'text', text: part }]
  })
}
