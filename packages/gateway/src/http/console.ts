import { existsSync, readdirSync } from 'node:fs'
import { type Assets, INDEX, readAssets, servePage } from './assets.ts'
import { createRouter, type Router } from './router.ts'

/** `GET /` and the files of the page. */
export function consoleRoutes(files: Assets): Router {
  const router = createRouter('Console')
  servePage(router, files, {
    path: '/',
    operationId: 'console',
    summary: "The operators' console",
    files: '/assets',
    isHashed: true,
    absent: 'This installation has no such file: `npm run build` makes the console.',
  })
  return router
}

/**
 * Reads the files of the console by name: from the folder `console` of a bundled image, or as
 * packages/console built them. Without either, `GET /` is 404.
 */
export function readConsole(): Assets {
  const folders = [new URL('console/', import.meta.url), new URL('../../../console/dist/', import.meta.url)]
  const folder = folders.find(one => existsSync(new URL(INDEX, one)))
  if (folder === undefined) return new Map()
  const files = new URL('assets/', folder)
  return new Map([...readAssets(folder, [INDEX]), ...readAssets(files, readdirSync(files))])
}
