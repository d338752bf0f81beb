import assert, { AssertionError } from 'node:assert/strict'
import { ReplyError } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { StoreError, type StoreErrorKind } from '../ports/errors.ts'
import { accessAdvice } from './access.ts'
import { isOutOfMemory, mapErrors, toStoreError, withStoreErrors } from './errors.ts'

const SCRIPT = 'script: 4f3a, on @user_script:12.'

/** Error replies as Redis 7 sends them. */
const REPLIES: readonly (readonly [StoreErrorKind, string])[] = [
  ['refused', "OOM command not allowed when used memory > 'maxmemory'."],
  ['refused', `OOM command not allowed when used memory > 'maxmemory'. ${SCRIPT}`],
  ['refused', 'NOSCRIPT No matching script. Please use EVAL.'],
  ['refused', "READONLY You can't write against a read only replica."],
  ['refused', 'LOADING Redis is loading the dataset in memory'],
  ['refused', 'CLUSTERDOWN The cluster is down'],
  ['refused', 'CLUSTERDOWN Hash slot not served'],
  ['refused', "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."],
  ['refused', 'NOREPLICAS Not enough good replicas to write.'],
  ['refused', 'MOVED 3999 127.0.0.1:6381'],
  ['refused', 'ASK 3999 127.0.0.1:6381'],
  ['refused', 'TRYAGAIN Multiple keys request during rehashing of slot'],
  ['refused', 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'],
  ['refused', 'UNKILLABLE Sorry the script already executed write commands against the dataset.'],
  ['refused', `ERR Error running script (call to f_4f3a): @user_script:3: Script killed by user with SCRIPT KILL...`],
  ['refused', 'EXECABORT Transaction discarded because of previous errors.'],
  ['refused', 'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.'],
  ['refused', 'NOGROUP No such key or consumer group in XREADGROUP with GROUP option'],
  ['refused', 'UNBLOCKED the stream key no longer exists'],
  ['refused', 'ERR max number of clients reached'],
  ['fatal', 'NOPERM this user has no permissions to run the command evalsha'],
  ['fatal', 'NOAUTH Authentication required.'],
  ['fatal', 'WRONGPASS invalid username-password pair or user is disabled.'],
  ['fatal', 'WRONGTYPE Operation against a key holding the wrong kind of value'],
  ['fatal', `WRONGTYPE Operation against a key holding the wrong kind of value ${SCRIPT}`],
  ['fatal', "CROSSSLOT Keys in request don't hash to the same slot"],
  ['fatal', 'ERR Protocol error: invalid bulk length'],
  ['fatal', "ERR unknown command 'XREADGROUP', with args beginning with:"],
  ['fatal', `ERR user_script:5: attempt to perform arithmetic on a nil value ${SCRIPT}`],
  ['fatal', `ERR hash value is not an integer ${SCRIPT}`],
  ['fatal', 'DENIED Redis is running in protected mode because protected mode is enabled'],
  // A prefix of a word is not the word.
  ['fatal', 'OOMPH'],
  ['fatal', 'BUSYKEY Target key name already exists.'],
]

function replyError(message: string): Error {
  return new ReplyError(message)
}

function withCode(message: string, code: string): Error {
  return Object.assign(new Error(message), { code })
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name })
}

describe('an error of Redis or the connection becomes a StoreError', () => {
  test.each(REPLIES)('%s: %s', (kind, message) => {
    const error = replyError(message)
    expect(toStoreError(error)).toMatchObject({
      ...{ name: 'StoreError', kind, cause: error },
      message: accessAdvice(error) ?? message,
    })
  })

  test.each<[StoreErrorKind, Error]>([
    ['refused', new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ['refused', new Error("Cluster isn't ready and enableOfflineQueue options is false")],
    ['refused', new Error('None of startup nodes is available')],
    ['refused', named('ClusterAllFailedError', 'Failed to refresh slots cache.')],
    ['refused', new Error('Cluster is disconnecting.')],
    ['unknown', new Error('Connection is closed.')],
    ['unknown', new Error('Command timed out')],
    ['unknown', new Error("Socket timeout. Expecting data, but didn't receive any in 4000ms.")],
    ['unknown', new Error('Too many Cluster redirections. Last error: MOVED 1 a:1')],
    ['unknown', new Error('Unknown RESP type 33 "!". Please report this.')],
    ['unknown', named('MaxRetriesPerRequestError', 'Reached the max retries per request limit (which is 0).')],
    ['unknown', named('AbortError', 'Command aborted due to connection close')],
    ['unknown', named('ParserError', 'Protocol error, got "x" as reply type byte')],
    ['unknown', withCode('read ECONNRESET', 'ECONNRESET')],
    ['unknown', withCode('write EPIPE', 'EPIPE')],
    ['unknown', withCode('getaddrinfo ENOTFOUND redis', 'ENOTFOUND')],
    ['unknown', withCode('certificate has expired', 'CERT_HAS_EXPIRED')],
    ['unknown', withCode('Cannot call write after a stream was destroyed', 'ERR_STREAM_DESTROYED')],
    ['unknown', withCode('wrong version number', 'ERR_SSL_WRONG_VERSION_NUMBER')],
  ])('%s: %s', (kind, error) => {
    expect(toStoreError(error)).toMatchObject({ kind, message: accessAdvice(error) ?? error.message, cause: error })
  })

  test('one that is a StoreError already stays the same', () => {
    const error = new StoreError('x', { kind: 'fatal' })
    expect(toStoreError(error)).toBe(error)
  })

  test('only the reply OOM means that memory is full', () => {
    expect(isOutOfMemory(replyError('OOM command not allowed'))).toBe(true)
    expect(isOutOfMemory(replyError('OOMPH'))).toBe(false)
    expect(isOutOfMemory(new Error('OOM command not allowed'))).toBe(false)
  })
})

/** Bugs, some with words or codes that resemble an outage. */
const BUGS: readonly unknown[] = [
  new TypeError("Cannot read properties of undefined (reading 'id')"),
  new RangeError('Invalid array length'),
  new ReferenceError('x is not defined'),
  new SyntaxError('Unexpected token } in JSON'),
  new AssertionError({ message: 'a commit leads to its last entry' }),
  new Error('something of ours'),
  Object.assign(new TypeError('The "string" argument must be of type string'), { code: 'ERR_INVALID_ARG_TYPE' }),
  withCode('invalid argument', 'ERR_INVALID_ARG_VALUE'),
  Object.assign(new TypeError('x'), { code: 'ECONNRESET' }),
  new TypeError('Command timed out'),
  new TypeError("Stream isn't writeable"),
  'a string',
  undefined,
]

describe('a bug stays what it is', () => {
  test.each(BUGS)('%s', async bug => {
    const thrown = await mapErrors(() => Promise.reject(bug)).catch((error: unknown) => error)
    expect(thrown).toBe(bug)
  })

  test('also when a method throws before its first await', async () => {
    const { read } = withStoreErrors({
      read: async (text: string) => {
        assert.equal(text, 'b')
      },
    })
    await expect(read('a')).rejects.toBeInstanceOf(AssertionError)
  })
})
