import { useSignal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import { AlertsView } from './alerts/view.tsx'
import { caller, client, identify, may, outage, toFailure } from './api.ts'
import { isLive } from './feed.ts'
import { KeyView } from './key/view.tsx'
import { KeysView } from './keys/view.tsx'
import { Login } from './login.tsx'
import { NowView } from './now/view.tsx'
import { keyText } from './parts/key-name.tsx'
import { Explain } from './parts/states.tsx'
import { PipelineView } from './pipeline/view.tsx'
import { linkTo, place } from './router.ts'
import { RulesView } from './rules/view.tsx'
import { RunbookView } from './runbook/view.tsx'
import { SendView } from './send/view.tsx'

const VIEWS: Readonly<Record<string, ComponentType>> = {
  now: NowView,
  keys: KeysView,
  key: KeyView,
  alerts: AlertsView,
  rules: RulesView,
  send: SendView,
  pipeline: PipelineView,
  runbook: RunbookView,
}

const TABS = [
  ['now', 'Now'],
  ['keys', 'Keys'],
  ['alerts', 'Alerts'],
  ['rules', 'Rules'],
  ['send', 'Send'],
  ['pipeline', 'Pipeline'],
] as const

/** How long to wait before the gateway is asked again who the caller is. */
const IDENTIFY_MS = 3000

export function App() {
  useEffect(() => {
    void identify()
    const timer = setInterval(() => {
      if (caller.value === undefined) void identify()
    }, IDENTIFY_MS)
    return () => clearInterval(timer)
  }, [])
  const { view, parameters } = place.value
  useEffect(() => {
    // The history of the browser and screen readers name pages by it.
    const title = view === 'key' ? keyText(parameters.get('key') ?? '') : TABS.find(([name]) => name === view)?.[1]
    document.title = [title, 'Tidemark'].filter(Boolean).join(' – ')
  }, [view, parameters])
  if (caller.value === null) return <Login />
  const View = VIEWS[view]
  return (
    <>
      <a class="skip" href="#main" onClick={focusMain}>
        Skip to the content
      </a>
      <Bar view={view} />
      <Notice />
      <main id="main" class="page" tabIndex={-1}>
        {caller.value === undefined ? <Connecting /> : may('read') ? View ? <View /> : <Unknown /> : <NotAllowed />}
      </main>
    </>
  )
}

/** The hash is the route, so that a link to an element would leave the view. */
function focusMain(event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

function Bar({ view }: { readonly view: string }) {
  const current = view === 'key' ? 'keys' : view
  return (
    <header class="bar">
      <a class="mark" href={linkTo('now')}>
        <svg width="22" height="22" viewBox="0 0 16 16" aria-hidden="true">
          <path
            d="M1 10c2.3 0 2.3-4 4.7-4s2.3 4 4.6 4S12.700 6 15 6"
            stroke="currentColor"
            stroke-width="2"
            fill="none"
            stroke-linecap="round"
          />
        </svg>
        Tidemark
      </a>
      <nav aria-label="Views">
        <ul>
          {TABS.map(([name, title]) => (
            <li key={name}>
              <a href={linkTo(name)} aria-current={name === current ? 'page' : undefined}>
                {title}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Who />
    </header>
  )
}

function Who() {
  const who = caller.value
  const leave = async (): Promise<void> => {
    await client.logout().catch(toFailure)
    caller.value = null
  }
  return (
    <div class="who">
      <a href="/docs">API</a>
      <span>{outage.value !== undefined ? 'disconnected' : isLive.value ? 'live' : ''}</span>
      {who?.via === 'session' && (
        <>
          <span>{who.name}</span>
          <button type="button" class="button" onClick={() => void leave()}>
            Sign out
          </button>
        </>
      )}
    </div>
  )
}

/** Says that what is shown may be old. */
function Notice() {
  const failure = outage.value
  if (failure === undefined) return null
  const what =
    failure.status === 0
      ? 'The gateway does not respond.'
      : failure.status === 429
        ? 'This page sends more requests than its limit allows.'
        : failure.kind === 'overloaded'
          ? 'The gateway is overloaded.'
          : 'The store of the gateway is unavailable.'
  return (
    <div class="notice" role="status">
      <strong>{what}</strong>
      <span>What you see is the newest that was read. This page tries again by itself.</span>
    </div>
  )
}

function Connecting() {
  const isSlow = useSignal(false)
  useEffect(() => {
    const timer = setTimeout(() => {
      isSlow.value = true
    }, 400)
    return () => clearTimeout(timer)
  }, [])
  return isSlow.value ? <p role="status">Connecting to the gateway …</p> : null
}

function NotAllowed() {
  const who = caller.value
  return (
    <section class="panel">
      <Explain title="Your API key may not read.">
        <span>
          {who?.name} has the {who?.scopes.length === 1 ? 'scope' : 'scopes'} {who?.scopes.join(', ')}. The console
          needs the scope read. Sign out, and sign in with an API key that has it.
        </span>
      </Explain>
    </section>
  )
}

function Unknown() {
  return (
    <section class="panel">
      <Explain title="This view does not exist.">
        <a href={linkTo('now')}>Go to Now</a>
      </Explain>
    </section>
  )
}
