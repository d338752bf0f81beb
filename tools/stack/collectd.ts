import { existsSync } from 'node:fs'
import { findProgram } from '../lib/packages.ts'

/** Debian installs it where only root's PATH leads. */
const COLLECTD = '/usr/sbin/collectd'

/** The library of its plugin write_http, which its package does not depend on. */
const LIBRARIES = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(folder => `/usr/lib/${folder}/libyajl.so.2`)

/** Returns collectd if its plugin write_http can be loaded. */
export function findCollectd(): string | undefined {
  return LIBRARIES.some(file => existsSync(file)) ? findProgram('collectd', COLLECTD) : undefined
}
