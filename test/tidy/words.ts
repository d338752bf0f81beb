/**
 * A word of the old dialect, and the term that stands for it. `except` names files in which it is
 * right.
 */
interface OldWord {
  readonly pattern: RegExp
  readonly use: string
  readonly except?: RegExp
}

const word = (source: string, use: string, except?: RegExp): OldWord => ({
  pattern: new RegExp(`\\b(?:${source})\\b`, 'i'),
  use,
  ...(except === undefined ? {} : { except }),
})

/** Terms are those of the glossary in ARCHITECTURE.md. */
export const OLD_WORDS: readonly OldWord[] = [
  word('told|tells? (?:it|them|receivers|whether|how|of)|telling', 'notified, reported, notification state'),
  word('whoever|somebody|nobody|anybody|someone|anyone', 'the actor: the caller, a client, an operator, no one'),
  word('foresaw|foreseen', 'unexpected'),
  word('anew', 'again'),
  word('by now', 'now, already'),
  word('for the occasion', 'temporary'),
  word('for want of', 'without'),
  word('to be had', 'available'),
  word('fail-over', 'failover'),
  word('time-outs?', 'timeout'),
  word('mends?|mended|mending', 'fix, recover'),
  word('deadly', 'poison (entry)'),
  word('(?<!/)put back', 'redrive (a dead letter)'),
  word('held back', 'suppressed'),
  word('tried out', 'shadow (rule)'),
  word('turned away', 'rejected'),
  word('take care of|takes care of|taking care of|taken care of', 'acknowledge, snooze'),
  word('(?:is|are|was|were) away', 'unavailable'),
  word('crowded', 'limit reached'),
  word('lapses?|lapsed', 'expire, timer'),
  word('how far behind', 'consumer lag, backlog'),
  word('passed over', 'skipped'),
  word('taken for granted', 'assumed'),
  word('dead entr(?:y|ies)', 'dead letter'),
  word('(?:service|one) that (?:Tidemark|this one) replaces|replaced service', 'nothing', /^docs\/migrating\.md$/),
]

export interface Hit {
  readonly file: string
  readonly line: number
  readonly text: string
  readonly use: string
}

/** Lines of `file` on which people read an old word. */
export function oldWordsIn(file: string, text: string): Hit[] {
  return prose(file, text).flatMap(({ line, text }) =>
    OLD_WORDS.filter(({ pattern, except }) => pattern.test(text) && except?.test(file) !== true).map(({ use }) => ({
      file,
      line,
      text: text.trim(),
      use,
    })),
  )
}

/** What people read of a file: of code its comments and strings, of Markdown all but code. */
function prose(file: string, text: string): { line: number; text: string }[] {
  const isCode = /\.(ts|mjs)$/.test(file)
  const readable = isCode ? blankAllBut(text, COMMENTS_AND_STRINGS) : file.endsWith('.md') ? withoutCode(text) : text
  return readable.split('\n').map((line, index) => ({ line: index + 1, text: line }))
}

// Strings of one identifier or of JSON are names of the API or of a stored format, not prose.
const COMMENTS_AND_STRINGS = /\/\*[\s\S]*?\*\/|\/\/.*$|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/gm
const IDENTIFIER = /^['`](?:[\w.:/-]*['`]$|[{[])/

function blankAllBut(text: string, pattern: RegExp): string {
  let kept = ''
  let end = 0
  for (const match of text.matchAll(pattern)) {
    kept += text.slice(end, match.index).replaceAll(/[^\n]/g, ' ')
    kept += IDENTIFIER.test(match[0]) ? ' '.repeat(match[0].length) : match[0].replaceAll(/`\w+`/g, '``')
    end = match.index + match[0].length
  }
  return kept
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```|`[^`\n]*`|^ {4}.*$/gm, code => code.replaceAll(/[^\n]/g, ' '))
}
