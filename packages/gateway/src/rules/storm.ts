import { text } from '@tidemark/shared/detection/rules/fields'
import { readStorm, type StormInput, withStorm } from '@tidemark/shared/detection/rules/rule'
import type { Context } from 'hono'
import { z } from 'zod'
import { readIfMatch, writtenMember } from './document.ts'
import type { RulesOptions } from './routes.ts'

const putSchema = z.strictObject({ storm: writtenMember(readStorm), who: text, why: text })

/** `PUT /storm`: from how many keys on alerts become one of the whole fleet. */
export function createPutStorm({
  services,
  readFields,
  changeRules,
  now,
}: RulesOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const ifMatch = readIfMatch(c)
    const { storm, who, why } = await readFields(c, putSchema)
    const wanted = { kind: 'storm_put', id: null, content: storm, who, why, at: now(), ifMatch } as const
    const { after } = await changeRules(store.rules, wanted, document => withStorm(document, storm))
    return c.json({ storm: storm as StormInput, version: after.version })
  }
}
