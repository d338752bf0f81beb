import { useSignal } from '@preact/signals'
import type { Alert, Analysis, IngestResult } from '@tidemark/client/types'
import { client, may, toFailure } from '../api.ts'
import { formatValue, plural } from '../format.ts'
import { explanationOf } from '../parts/alert.ts'
import { KeyLink } from '../parts/key-name.tsx'
import { type Level, Mark, stateSign } from '../parts/sign.tsx'
import { Explain } from '../parts/states.tsx'
import { keysOf, parseInput } from './parse.ts'

const EXAMPLE = '{"key": "edge-17/rps", "value": 420}'
const VERDICT_MS = 10_000
const SHOWN = 20

/** How far what was sent has come. */
interface Way {
  readonly result?: Pick<IngestResult, 'accepted' | 'rejected' | 'receipts'>
  readonly analyses?: readonly Analysis[]
  readonly alerts?: readonly Alert[]
  readonly failure?: string
}

export function SendView() {
  const text = useSignal(EXAMPLE)
  const way = useSignal<Way | undefined>(undefined)
  const isBusy = useSignal(false)
  const parsed = parseInput(text.value)

  async function send(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    if ('problem' in parsed) return
    isBusy.value = true
    way.value = {}
    try {
      await follow(parsed.items, next => {
        way.value = { ...way.value, ...next }
      })
    } catch (error) {
      const { problem, message } = toFailure(error)
      const rejected = problem?.rejected ?? []
      way.value = {
        ...way.value,
        ...(rejected.length > 0 && {
          result: { accepted: problem?.accepted ?? 0, rejected, receipts: problem?.receipts ?? [] },
        }),
        failure: problem?.detail ?? message,
      }
    } finally {
      isBusy.value = false
    }
  }

  return (
    <>
      <div class="stack">
        <h1>Send samples and watch their way</h1>
        <p class="soft">
          A sample as JSON, several as an array or in lines, lines of key,value,timestamp, or a curl command.
        </p>
      </div>
      <div class="columns">
        <section class="panel" aria-label="What to send">
          {may('ingest') ? (
            <form class="stack" onSubmit={event => void send(event)}>
              <label class="field">
                Samples
                <textarea
                  rows={9}
                  spellcheck={false}
                  value={text.value}
                  onInput={({ currentTarget }) => {
                    text.value = currentTarget.value
                  }}
                />
              </label>
              <div class="row">
                <button type="submit" class="button main" disabled={isBusy.value || 'problem' in parsed}>
                  Send
                </button>
                <span class="small soft" role="status">
                  {'problem' in parsed ? parsed.problem : plural(keysOf(parsed.items).length, 'sample')}
                </span>
              </div>
            </form>
          ) : (
            <Explain title="Your API key may not send samples.">
              <span>Sign in with one that has the scope ingest.</span>
            </Explain>
          )}
        </section>
        <section class="panel" aria-labelledby="way" aria-live="polite">
          <header>
            <h2 id="way">Their way</h2>
          </header>
          {way.value === undefined ? (
            <Explain title="Nothing was sent yet.">
              <span>Here you see: stored, its receipt, the verdict on each sample, and alerts of its keys.</span>
            </Explain>
          ) : (
            <Steps way={way.value} />
          )}
        </section>
      </div>
    </>
  )
}

/** Sends items, and reports each thing that becomes known of them. */
async function follow(items: Parameters<typeof keysOf>[0], report: (next: Way) => void): Promise<void> {
  const [first] = items
  const result = await client.ingest(items.length === 1 && first !== undefined ? first : items, {
    retryForMs: VERDICT_MS,
  })
  report({ result })
  const keys = new Set(keysOf(items))
  const found = await Promise.all(result.receipts.map(receipt => client.verdicts(receipt, { waitForMs: VERDICT_MS })))
  // An entry can have samples that others sent at the same time.
  report({ analyses: found.flat().filter(({ key }) => keys.has(key)) })
  const pages = await Promise.all(
    [...keys].slice(0, SHOWN).map(key => client.alerts({ state: 'firing', prefix: key, limit: 10 })),
  )
  report({ alerts: pages.flatMap(({ alerts }) => alerts).filter(({ key }) => key !== null && keys.has(key)) })
}

function Steps({ way: { result, analyses, alerts, failure } }: { readonly way: Way }) {
  return (
    <ol class="steps">
      <Step
        level={result === undefined ? (failure === undefined ? 'none' : 'bad') : result.accepted > 0 ? 'good' : 'bad'}
      >
        <strong>
          {result === undefined
            ? failure === undefined
              ? 'Sending …'
              : 'Not stored'
            : `${plural(result.accepted, 'sample')} stored`}
        </strong>
        {failure !== undefined && <p class="bad">{failure}</p>}
        {result?.rejected.slice(0, SHOWN).map(({ index, reason }) => (
          <p key={index} class="small bad">
            {reason}
          </p>
        ))}
      </Step>
      {result !== undefined && result.receipts.length > 0 && (
        <Step level="good">
          <strong>{plural(result.receipts.length, 'receipt')}</strong>
          <p class="small mono">{result.receipts.slice(0, SHOWN).join(' ')}</p>
        </Step>
      )}
      {result !== undefined && result.receipts.length > 0 && (
        <Step level={analyses === undefined ? 'none' : analyses.some(({ anomaly }) => anomaly) ? 'bad' : 'good'}>
          <strong>{analyses === undefined ? 'Waiting for the verdicts …' : plural(analyses.length, 'verdict')}</strong>
          {analyses?.slice(0, SHOWN).map(analysis => (
            <p key={`${analysis.key} ${analysis.count}`} class="row">
              {stateSign(analysis.state)}
              <KeyLink name={analysis.key} />
              <span class="num soft">{formatValue(analysis.value)}</span>
            </p>
          ))}
        </Step>
      )}
      {alerts !== undefined && (
        <Step level={alerts.length > 0 ? 'bad' : 'good'}>
          <strong>
            {alerts.length === 0 ? 'No alerts are firing for these keys' : plural(alerts.length, 'alert')}
          </strong>
          {alerts.map(alert => (
            <p key={alert.id} class="small">
              {explanationOf(alert)}
            </p>
          ))}
        </Step>
      )}
    </ol>
  )
}

function Step({ level, children }: { readonly level: Level; readonly children: preact.ComponentChildren }) {
  return (
    <li>
      <Mark level={level} />
      <div>{children}</div>
    </li>
  )
}
