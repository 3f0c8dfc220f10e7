/**
 * The SMTP client of the drill: a few sessions at a bounded rate, each message
 * to one recipient of every kind. A session ends after a few messages.
 *
 * Every message has a sender of its own, because smtpd(8) remembers a failed
 * resolution of a sender and recipient until it exits, and would not ask the
 * tables again.
 */
import { setTimeout } from 'node:timers/promises'
import { smtpSession } from '../fixtures/smtp.js'
import type { Reply, SmtpSession } from '../fixtures/smtp.js'
import { kinds } from './recipients.js'
import type { Kind, Recipients } from './recipients.js'
import { exists, newTally, resultOf } from './tally.js'
import type { Tally } from './tally.js'

export type Load = {
  /** For how long the client begins new messages (ms). */
  readonly durationMs: number
  /** How long the client waits for one reply (ms). */
  readonly patienceMs: number
}

const sessions = 2
/** The time from the beginning of a message to that of the next one in its session (ms), unless replies take longer. */
const periodMs = 200
const messagesPerSession = 6
/** One in so many messages is sent whole; the others end after their recipients. */
const wholeEvery = 4

/** The largest number of new recipients that a load of this duration asks for. */
export const newNeeded = (durationMs: number): number => (Math.ceil(durationMs / periodMs) + 1) * sessions

/** Resolves as `promise` does; with undefined if that takes longer than `ms`, or if it rejects. */
const within = async <Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> => {
  const timer = new AbortController()
  try {
    return await Promise.race([promise.catch(() => undefined), setTimeout(ms, undefined, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}

let senders = 0

/** Sends mail to the Postfix on `port`, and resolves with the replies. */
export const runLoad = async (port: number, recipients: Recipients, { durationMs, patienceMs }: Load): Promise<Tally> => {
  const tally = newTally()
  const until = performance.now() + durationMs

  const open = async (): Promise<SmtpSession | undefined> => {
    const opening = smtpSession(port)
    const session = await within(patienceMs, opening)
    if (session === undefined) void opening.then(late => late.close(), () => undefined)
    return session
  }

  const note = (kind: Kind, recipient: string, reply: Reply | undefined, waitedMs: number): void => {
    const result = reply === undefined ? 'unanswered' : resultOf(reply.code)
    tally.results[kind][result]++
    tally.seconds.push(waitedMs / 1_000)
    if (result === 'rejected' && exists(kind)) tally.falseRejects.push(`${recipient}: ${reply?.code ?? ''} ${reply?.text ?? ''}`)
  }

  /** Sends one message; resolves with false if the session can't send another one. */
  const send = async (session: SmtpSession | undefined, isWhole: boolean): Promise<boolean> => {
    const chosen = kinds.flatMap(kind => {
      const recipient = recipients.next(kind)
      return recipient === undefined ? [] : [{ kind, recipient }]
    }).sort(() => Math.random() - 0.5)
    const from = performance.now()
    const mail = session === undefined ? undefined : await within(patienceMs, session.mail(`s${senders++}@sender.example`))
    if (session === undefined || mail?.code !== 250) {
      // Postfix refused the sender, so the client could not ask for any recipient.
      for (const { kind, recipient } of chosen) note(kind, recipient, mail, performance.now() - from)
      return false
    }
    let isAccepted = false
    for (const { kind, recipient } of chosen) {
      const asked = performance.now()
      const reply = await within(patienceMs, session.rcpt(recipient))
      note(kind, recipient, reply, performance.now() - asked)
      if (reply === undefined) return false
      isAccepted ||= reply.code === 250
    }
    if (!isWhole || !isAccepted) return (await within(patienceMs, session.command('RSET')))?.code === 250
    const sent = await within(patienceMs, session.data('Subject: drill\n\nhello\n'))
    tally.messages[sent === undefined ? 'unanswered' : resultOf(sent.code)]++
    return sent?.code === 250
  }

  const work = async (): Promise<void> => {
    let session: SmtpSession | undefined
    for (let count = 1; performance.now() < until; count++) {
      const next = performance.now() + periodMs
      session ??= await open()
      const isUsable = await send(session, count % wholeEvery === 0)
      if (!isUsable || count % messagesPerSession === 0) {
        session?.close()
        session = undefined
      }
      await setTimeout(Math.max(0, Math.min(next, until) - performance.now()))
    }
    session?.close()
  }

  await Promise.all(Array.from({ length: sessions }, work))
  return tally
}

/** Asks once for each of these recipients, so that caches know them. Rejects if one isn't accepted. */
export const greet = async (port: number, addresses: readonly string[]): Promise<void> => {
  const session = await smtpSession(port)
  await session.mail(`s${senders++}@sender.example`)
  for (const recipient of addresses) {
    const { code, text } = await session.rcpt(recipient)
    if (code !== 250) throw new Error(`all is well, but ${recipient} is answered ${code} ${text}`)
  }
  await session.quit()
}
