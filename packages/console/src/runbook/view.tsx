import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { linkTo, place } from '../router.ts'
import { type Block, parseMarkdown, type Span } from './markdown.ts'

/** It becomes a file of its own, which is loaded when it is read. */
const [load] = Object.values(
  import.meta.glob<string>('../../../../docs/runbook.md', { query: '?raw', import: 'default' }),
)

/** The operations runbook, from the page itself: it must be readable without internet. */
export function RunbookView() {
  const blocks = useSignal<readonly Block[] | undefined>(undefined)
  const entry = place.value.parameters.get('entry')
  useEffect(() => {
    void load?.().then(text => {
      blocks.value = parseMarkdown(text)
    })
  }, [])
  useEffect(() => {
    if (entry !== null) document.getElementById(entry)?.scrollIntoView()
  }, [entry, blocks.value])
  return (
    <article class="panel prose">
      {blocks.value === undefined && <h1>Operations runbook</h1>}

      {blocks.value?.map((block, i) => (
        <BlockView key={i} block={block} />
      ))}
    </article>
  )
}

function BlockView({ block }: { readonly block: Block }) {
  switch (block.kind) {
    case 'heading':
      if (block.level === 1) return <h1>{spans(block.spans)}</h1>
      return block.level === 2 ? (
        <h2 id={block.id}>{spans(block.spans)}</h2>
      ) : (
        <h3 id={block.id}>{spans(block.spans)}</h3>
      )
    case 'code':
      return <pre>{block.text}</pre>
    case 'list':
      return (
        <ul>
          {block.items.map((item, i) => (
            <li key={i}>{spans(item)}</li>
          ))}
        </ul>
      )
    case 'table':
      return (
        <table>
          <thead>
            <tr>
              {block.head.map((cell, i) => (
                <th key={i} scope="col">
                  {spans(cell)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {block.rows.map((row, i) => (
              <tr key={i}>
                {row.map((cell, j) => (
                  <td key={j}>{spans(cell)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )
    case 'paragraph':
      return <p>{spans(block.spans)}</p>
  }
}

function spans(all: readonly Span[]) {
  return all.map((span, i) => {
    if (span.kind === 'code') return <code key={i}>{span.text}</code>
    // Only entries of this page are here; other documents are not.
    if (span.kind === 'link' && span.target.startsWith('#'))
      return (
        <a key={i} href={linkTo('runbook', { entry: span.target.slice(1) })}>
          {span.text}
        </a>
      )
    return span.text
  })
}

export function runbookLink(entry: string): string {
  return linkTo('runbook', { entry: entry.toLowerCase() })
}
