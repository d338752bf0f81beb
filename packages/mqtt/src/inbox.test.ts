import { beforeEach, describe, expect, test } from 'vitest'
import { Inbox } from './inbox.ts'

const message = (text: string) => ({ topic: 't', payload: Buffer.from(text) })

describe('the inbox', () => {
  let acknowledged: number[]
  let inbox: Inbox
  beforeEach(() => {
    acknowledged = []
    inbox = new Inbox(id => acknowledged.push(id))
    inbox.connected(false)
  })

  test('acknowledges what is settled', () => {
    const settle = inbox.take(1, message('a'), false)
    expect(acknowledged).toEqual([])
    settle?.()
    expect(acknowledged).toEqual([1])
  })

  test('takes a message once that is repeated while it waits', () => {
    const settle = inbox.take(1, message('a'), false)
    inbox.connected(true)
    expect(inbox.take(1, message('a'), true)).toBeUndefined()
    settle?.()
    expect(acknowledged).toEqual([1])
  })

  test('acknowledges a settled message when it is repeated, not before', () => {
    const settle = inbox.take(1, message('a'), false)
    inbox.connected(true)
    settle?.()
    expect(acknowledged).toEqual([])
    expect(inbox.take(1, message('a'), true)).toBeUndefined()
    expect(acknowledged).toEqual([1])
  })

  test('takes the next message of a packet identifier, equal or not', () => {
    inbox.take(1, message('a'), false)?.()
    expect(inbox.take(1, message('a'), false)).toBeDefined()
    expect(inbox.take(2, message('a'), true)).toBeDefined()
    inbox.take(3, message('a'), false)
    inbox.connected(true)
    expect(inbox.take(3, message('b'), true)).toBeDefined()
  })

  test('an identifier that was given away is not acknowledged for its former message', () => {
    const settle = inbox.take(1, message('a'), false)
    inbox.take(1, message('b'), false)
    settle?.()
    expect(acknowledged).toEqual([])
  })

  test('forgets what a broker without the session has forgotten', () => {
    inbox.take(1, message('a'), false)?.()
    inbox.connected(false)
    expect(inbox.take(1, message('a'), true)).toBeDefined()
  })
})
