import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '@tidemark/testkit/eventually'
import { PbfReader } from 'pbf'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { gatewaySchema } from '../../../config.ts'
import { Batch } from '../../formats/batch.ts'
import { openSeriesIndex } from './open-index.ts'

const log = pino({ level: 'silent' })

/** One label, `__name__` with the value `m`. */
const LABELS = Buffer.from('\n\r\n\b__name__\u0012\u0001m', 'latin1')

test('rules come from a file that must be valid at the start, and is read again when it changes', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-rules-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const file = join(folder, 'rules.json')
  const write = async (content: unknown): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify(content))
    await rename(`${file}.new`, file)
  }
  const config = gatewaySchema.parse({ PROMETHEUS_RULES_FILE: file })
  let isBroken: boolean | undefined
  const metrics = {
    seriesRulesBroken: (broken: boolean) => {
      isBroken = broken
    },
  }
  const open = () => openSeriesIndex({ config, log, metrics })
  await expect(open()).rejects.toThrow(`PROMETHEUS_RULES_FILE: ${file} cannot be read (ENOENT)`)
  await write([{ action: 'drop' }])
  await expect(open()).rejects.toThrow(`PROMETHEUS_RULES_FILE: ${file} is invalid: rule 0`)

  await write([])
  const { index } = stack.use(await open())
  const limits = { samplesMax: 1, keyBytesMax: 200, valueAbsMax: 1, futureMaxMs: 0, template: config.INFLUX_KEY }
  const kind = () => index.find(new PbfReader(LABELS), 0, LABELS.length, new Batch(limits, 0)).kind
  expect([kind(), kind()]).toEqual(['taken', 'taken'])
  await write([{ action: 'drop', source_labels: ['__name__'], regex: 'm' }])
  await eventually(() => expect(kind()).toBe('denied'))
  await write([{ action: 'x' }])
  await eventually(() => expect(isBroken).toBe(true))
  expect(kind()).toBe('denied')
  await write([])
  await eventually(() => expect([kind(), isBroken]).toEqual(['taken', false]))
})
