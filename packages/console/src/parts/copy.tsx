import { useSignal } from '@preact/signals'

const SHOWN_MS = 2000

/** A text to take elsewhere. Without a clipboard, which needs TLS or localhost, it is selected. */
export function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const isCopied = useSignal(false)
  async function copy(event: MouseEvent): Promise<void> {
    const shown = (event.currentTarget as HTMLElement).parentElement?.querySelector('pre')
    if (shown) getSelection()?.selectAllChildren(shown)
    if (!('clipboard' in navigator)) return
    await navigator.clipboard.writeText(text)
    isCopied.value = true
    setTimeout(() => {
      isCopied.value = false
    }, SHOWN_MS)
  }
  return (
    <div class="stack">
      <pre>{text}</pre>
      <button type="button" class="button" onClick={event => void copy(event)}>
        {isCopied.value ? 'Copied' : `Copy the ${what}`}
      </button>
    </div>
  )
}
