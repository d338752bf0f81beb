import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

/** Beside this file, or beside the bundle that this file becomes a part of. */
const FOLDER = new URL('./lua/', import.meta.url)

export interface LuaScript {
  readonly lua: string
  /** By which Redis knows it. */
  readonly sha: string
}

/**
 * Reads a script; throws when a file is missing. The line `-- include: a, b` becomes the text of
 * include/a.lua and include/b.lua: docs/decisions/0020 says why.
 */
export function readScript(name: string): LuaScript {
  const lua = textOf(name).replace(/^-- include: (.*)$/m, (_, names: string) =>
    names
      .split(', ')
      .map(include => textOf(`include/${include}`))
      .join(''),
  )
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/** The names of all scripts. */
export function scriptNames(): string[] {
  return readdirSync(FOLDER).flatMap(file => (file.endsWith('.lua') ? [file.slice(0, -'.lua'.length)] : []))
}

function textOf(name: string): string {
  return readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8')
}
