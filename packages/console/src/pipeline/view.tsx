import { useSignal } from '@preact/signals'
import type { DeadLetter, Pipeline, Rebalances } from '@tidemark/client/types'
import { client, may } from '../api.ts'
import { formatBytes, formatCount, formatRate, plural } from '../format.ts'
import { ChangeDialog } from '../parts/dialog.tsx'
import { Mark, Sign } from '../parts/sign.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { Ago } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { runbookLink } from '../runbook/view.tsx'

const AGAIN_MS = 2000
const DEAD_MS = 10_000
const REBALANCES_MS = 5000
const SHOWN = 50

interface Change {
  readonly action: 'redrive' | 'discard'
  readonly letter: DeadLetter
}

export function PipelineView() {
  const overview = useResource(signal => client.overview({ signal }), AGAIN_MS, [])
  return (
    <>
      <h1>Pipeline</h1>
      <Show of={overview}>
        {({ pipeline }) =>
          pipeline === null ? (
            <section class="panel">
              <Explain title="Your API key sees only its own keys.">
                <span>The pipeline serves all of them: an API key without a key prefix shows it.</span>
              </Explain>
            </section>
          ) : (
            <PipelineState pipeline={pipeline} />
          )
        }
      </Show>
      <RebalanceList />
      <DeadLetters />
    </>
  )
}

function PipelineState({ pipeline }: { readonly pipeline: Pipeline }) {
  const { partitions, store, warnings } = pipeline
  const byOwner = Map.groupBy(partitions, ({ owner }) => owner ?? '')
  const unowned = byOwner.get('')?.length ?? 0
  return (
    <>
      <section class="panel" aria-labelledby="flow">
        <header>
          <h2 id="flow">Now</h2>
        </header>
        <dl class="facts">
          <dt>Accepted</dt>
          <dd class="num">{formatRate(pipeline.samples_per_s)} samples per second</dd>
          <dt>Analysed</dt>
          <dd class="num">{formatRate(pipeline.analysed_per_s)} samples per second</dd>
          <dt>Backlog</dt>
          <dd class="num">{plural(pipeline.backlog, 'sample')}</dd>
          <dt>Lost by Redis</dt>
          <dd class="num">
            {formatCount(pipeline.lost)}
            {pipeline.lost > 0 && <a href={runbookLink('SamplesLost')}> what to do</a>}
          </dd>
          <dt>Redis memory</dt>
          <dd class="num">
            {store === null
              ? 'unknown'
              : `${formatBytes(store.used_bytes)}${store.max_bytes > 0 ? ` of ${formatBytes(store.max_bytes)}` : ', without a limit'}`}
          </dd>
        </dl>
        {warnings.map(warning => (
          <p key={warning} class="small line">
            <Mark level="warn" /> <span>{warning}</span>
          </p>
        ))}
      </section>
      <section class="panel" aria-labelledby="owners">
        <header>
          <h2 id="owners">Analyzers and their partitions</h2>
          {unowned > 0 && (
            <span class="row">
              <Sign level="bad">{`${plural(unowned, 'partition')} without an analyzer`}</Sign>
              <a href={runbookLink('PartitionsUnowned')}>what to do</a>
            </span>
          )}
        </header>
        <table class="plain small">
          <thead>
            <tr>
              <th scope="col">Partition</th>
              <th scope="col">Owner</th>
              <th scope="col" class="num wide">
                Accepted
              </th>
              <th scope="col" class="num">
                Backlog
              </th>
              <th scope="col" class="num">
                Dead
              </th>
              <th scope="col">Newest analysed</th>
            </tr>
          </thead>
          <tbody>
            {partitions.map(({ partition, owner, accepted, backlog, dead, applied_at: appliedAt }) => (
              <tr key={partition}>
                <th scope="row">{partition}</th>
                <td>{owner === null ? <Sign level="bad">none</Sign> : owner}</td>
                <td class="num wide">{formatCount(accepted)}</td>
                <td class="num">{formatCount(backlog)}</td>
                <td class="num">{formatCount(dead)}</td>
                <td class="soft">{appliedAt === null ? '–' : <Ago at={appliedAt} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  )
}

const REASONS: Readonly<Record<Rebalances['rebalances'][number]['reason'], string>> = {
  handed_off: 'handed off',
  expired: 'its lease expired: killed, frozen or cut off',
  first: 'taken',
  released: 'released, and not taken yet',
}

/** Which partition went from which analyzer to which, when and why. */
function RebalanceList() {
  const changes = useResource(signal => client.rebalances({ limit: SHOWN }, { signal }), REBALANCES_MS, [])
  return (
    <section class="panel" aria-labelledby="rebalances">
      <header>
        <h2 id="rebalances">Rebalances</h2>
      </header>
      <Show of={changes}>
        {({ rebalances }) =>
          rebalances.length === 0 ? (
            <Explain title="No partition has changed its analyzer yet." />
          ) : (
            <ul class="small">
              {groupsOf(rebalances).map(({ at, from, to, reason, partitions }) => (
                <li key={`${at} ${from} ${to} ${partitions[0]}`} class="entry">
                  <Mark level={reason === 'expired' ? 'warn' : reason === 'released' ? 'bad' : 'none'} />
                  <div class="body">
                    <span>
                      {partitions.length === 1 ? 'Partition' : `${partitions.length} partitions:`}{' '}
                      <span class="num">{partitions.join(', ')}</span>
                    </span>
                    <span class="soft">
                      {from !== null && to !== from && `${from} → `}
                      {to ?? 'none'}: {REASONS[reason]}
                    </span>
                  </div>
                  <span class="soft">
                    <Ago at={at} />
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </section>
  )
}

/** Partitions that went the same way at about the same time are one rebalance. */
const TOGETHER_MS = 5000

function groupsOf(rebalances: Rebalances['rebalances']) {
  const groups: {
    at: number
    from: string | null
    to: string | null
    reason: keyof typeof REASONS
    partitions: number[]
  }[] = []
  for (const { partition, ...one } of rebalances) {
    const group = groups.find(
      ({ at, from, to, reason }) =>
        at - one.at < TOGETHER_MS && from === one.from && to === one.to && reason === one.reason,
    )
    if (group === undefined) groups.push({ ...one, partitions: [partition] })
    else group.partitions.push(partition)
  }
  for (const { partitions } of groups) partitions.sort((a, b) => a - b)
  return groups
}

function DeadLetters() {
  const letters = useResource(signal => client.deadLetters({ limit: SHOWN }, { signal }), DEAD_MS, [])
  const change = useSignal<Change | undefined>(undefined)
  const close = (): void => {
    change.value = undefined
    letters.refresh()
  }
  return (
    <section class="panel" aria-labelledby="dead">
      <header>
        <h2 id="dead">Dead letters</h2>
        <a class="small" href={runbookLink('DeadEntries')}>
          What they are
        </a>
      </header>
      <Show of={letters}>
        {({ dead }) =>
          dead.length === 0 ? (
            <Explain title="None: every entry could be analysed." />
          ) : (
            <ul>
              {dead.map(letter => (
                <li class="entry" key={letter.id}>
                  <Mark level="warn" />
                  <div class="body">
                    <span>
                      <code>{letter.id}</code>, accepted <Ago at={letter.accepted_at} />
                    </span>
                    <span class="small soft">{letter.reason}</span>
                  </div>
                  {may('operate') ? (
                    <div class="row">
                      {(['redrive', 'discard'] as const).map(action => (
                        <button
                          key={action}
                          type="button"
                          class="button"
                          onClick={() => {
                            change.value = { action, letter }
                          }}
                        >
                          {action === 'redrive' ? 'Redrive' : 'Discard'}
                          <span class="unseen"> {letter.id}</span>
                        </button>
                      ))}
                    </div>
                  ) : (
                    <span class="small soft">The scope operate is needed to redrive or discard it.</span>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Show>
      {change.value !== undefined && <Confirm change={change.value} onClose={close} />}
    </section>
  )
}

function Confirm({ change: { action, letter }, onClose }: { readonly change: Change; readonly onClose: () => void }) {
  const isRedrive = action === 'redrive'
  return (
    <ChangeDialog
      title={`${isRedrive ? 'Redrive' : 'Discard'} ${letter.id}?`}
      action={isRedrive ? 'Redrive' : 'Discard'}
      isNoted={false}
      onClose={onClose}
      onConfirm={() => (isRedrive ? client.redrive(letter.id) : client.discardDeadLetter(letter.id))}
    >
      <p class="small soft">
        {isRedrive
          ? 'Its samples are stored again and analysed as new ones, after those that arrived since.'
          : 'Its samples are deleted and never analysed. This cannot be undone.'}
      </p>
      <pre>{letter.samples.slice(0, 500)}</pre>
    </ChangeDialog>
  )
}
