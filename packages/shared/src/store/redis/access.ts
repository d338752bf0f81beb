/** Codes of certificates that Node does not trust, as OpenSSL names them. */
const UNTRUSTED = /CERT|UNABLE_TO_(?:GET|VERIFY)|SELF_SIGNED/

/**
 * Returns what an operator must change when Redis, its ACL or TLS denies access; undefined for any
 * other error. The sentence quotes nothing of the URL and no argument of a command.
 */
export function accessAdvice(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { message } = error
  const code = 'code' in error ? String(error.code) : ''
  if (/^WRONGPASS|invalid password/.test(message)) {
    return 'Redis refuses the user name or password of REDIS_URL (WRONGPASS): set those that Redis has now. In a URL, write # as %23 and % as %25. REDIS_USERNAME and REDIS_PASSWORD_FILE come before it.'
  }
  if (message.startsWith('NOAUTH')) {
    return 'Redis requires a password, and REDIS_URL has none (NOAUTH): write it as redis://:PASSWORD@HOST:PORT, with # as %23, or set REDIS_PASSWORD_FILE.'
  }
  if (/^DENIED .*protected mode/.test(message)) {
    return 'Redis is in protected mode and refuses connections from other hosts: give its users a password.'
  }
  if (/NOPERM|can't run this command|can't access at least one|ACL failure/.test(message))
    return permissionAdvice(error)
  if (/cluster support disabled/.test(message)) {
    return 'This Redis is not a cluster, and REDIS_CLUSTER is true: set REDIS_CLUSTER to false.'
  }
  if (/wrong version number|packet length too long/.test(message)) {
    return 'Redis does not speak TLS at this address: write redis:// instead of rediss:// in REDIS_URL, or use its TLS port.'
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'The certificate of Redis is for other host names than the one in REDIS_URL: use one of its names there.'
  }
  if (/alert certificate required|alert handshake failure/.test(message)) {
    return 'Redis requires a client certificate: set REDIS_CERT_FILE and REDIS_KEY_FILE.'
  }
  if (/alert unknown ca|alert bad certificate|alert certificate expired/.test(message)) {
    return 'Redis does not accept the client certificate in REDIS_CERT_FILE: use one that is valid and of an authority that Redis trusts.'
  }
  if (UNTRUSTED.test(code)) {
    return `The certificate of Redis is not trusted (${code}): set REDIS_CA_FILE to the file of its authority (or NODE_EXTRA_CA_CERTS, for all connections).`
  }
  return undefined
}

/** Where the least rights are listed. */
const RIGHTS = 'docs/deployment.md lists the rights that each service needs'

function permissionAdvice({ message }: Error): string {
  const command = /run the (?:command )?'?([\w|-]+)'?/.exec(message)?.[1]
  if (command !== undefined) {
    const name = command.replace('|', ' ').toUpperCase()
    return `Redis denies the command ${name} to the user of REDIS_URL (NOPERM): allow it with ACL SETUSER USER +${command.toLowerCase()}; ${RIGHTS}.`
  }
  const denied = /\bkeys?\b/.test(message) ? 'a key' : 'a command of a script'
  return `Redis denies ${denied} to the user of REDIS_URL (NOPERM): allow it the keys of REDIS_PREFIX and all commands of its service; ${RIGHTS}.`
}
