/** What a Postfix did with the sessions of a scenario, without what differs from run to run. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as startTls } from 'node:tls'
import type { Received } from '../fixtures/smtp.js'
import { run } from '../fixtures/child.js'
import type { Session } from './scenario.js'

/** Replies, log lines and messages, sorted where their order depends on chance. */
export type Observed = {
  /** For each session its commands, with their replies. */
  readonly replies: readonly (readonly string[])[]
  /** The log lines about each message, by Message-ID; those about all notifications stand under `other`. */
  readonly log: ReadonlyMap<string, readonly string[]>
  /** The envelopes and headers that reached the sink. */
  readonly messages: readonly string[]
  /** The warnings of its daemons. They are never compared, but may explain a difference. */
  readonly warnings: readonly string[]
}

/** Reads the reply to a command and joins its lines. */
type Ask = (line: string) => Promise<string>

const openClient = async (
  port: number, { certificate, from = '127.0.0.1' }: Pick<Session, 'certificate' | 'from'> = {},
): Promise<{ readonly ask: Ask, readonly close: () => void }> => {
  let buffered = ''
  let take: (() => void) | null = null
  let ended = false
  const onData = (chunk: Buffer): void => {
    buffered += chunk.toString('latin1')
    take?.()
  }
  const onClose = (): void => {
    ended = true
    take?.()
  }
  const listenTo = (socket: Socket): Socket => socket.on('data', onData).on('error', () => undefined).on('close', onClose)
  let stream = listenTo(connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true }))
  const reply = (): Promise<string> => new Promise(resolve => {
    take = () => {
      const whole = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(buffered)?.[0]
      if (whole === undefined && !ended) return
      take = null
      buffered = buffered.slice(whole?.length ?? 0)
      resolve(whole?.trimEnd() ?? 'the connection ended')
    }
    take()
  })
  const ask: Ask = line => {
    stream.write(`${line}\r\n`, 'latin1')
    return reply()
  }
  await reply()
  if (certificate !== undefined) {
    await ask('EHLO x.example')
    await ask('STARTTLS')
    stream.off('data', onData)
    const secured = startTls({ socket: stream, ...certificate, rejectUnauthorized: false })
    await once(secured, 'secureConnect')
    stream = listenTo(secured)
  }
  return { ask, close: () => stream.destroy() }
}

const queueId = /\b[0-9A-F]{8,14}\b/g
const steady = (text: string): string => text.replace(queueId, 'ID')

const runSession = async (
  port: number, session: Session, settled: () => Promise<void>,
): Promise<readonly string[]> => {
  const { helo, xclient, steps } = session
  const { ask, close } = await openClient(port, session)
  const replies: string[] = []
  const say = async (line: string): Promise<string> => {
    const reply = await ask(line)
    replies.push(steady(`${line}: ${reply}`))
    return reply
  }
  if (xclient !== null) {
    await ask('EHLO x.example')
    await ask(`XCLIENT ${xclient}`)
  }
  await say(`EHLO ${helo}`)
  let accepted = 0
  for (const { verb, text } of steps) {
    switch (verb) {
      case 'MAIL':
        accepted = 0
        await say(`MAIL FROM:${text}`)
        break
      case 'RCPT':
        if ((await say(`RCPT TO:${text}`)).startsWith('250')) accepted++
        break
      case 'DATA':
        if (accepted > 0 && (await say('DATA')).startsWith('354')) replies.push(steady(await ask(`${text}\r\n.`)))
        break
      case 'ETRN':
        // A queue run sends what is deferred by then.
        await settled()
        await say(`${verb} ${text}`)
        break
      case 'VRFY': case 'RSET':
        await say(`${verb} ${text}`.trimEnd())
        break
      default: verb satisfies never
    }
  }
  await ask('QUIT')
  close()
  return replies
}

/** A running Postfix. */
export type Door = {
  readonly port: number
  readonly configDir: string
  /** Resolves when no mail waits for its first delivery. */
  readonly settled: () => Promise<void>
  /** Resolves with what became of the message that sendmail(1) has just submitted. */
  readonly pickedUp: () => Promise<string>
}

/** Submits each message of a session by sendmail(1). */
const submit = async ({ configDir, pickedUp }: Door, { steps }: Session): Promise<readonly string[]> => {
  const replies: string[] = []
  let sender = ''
  let recipients: readonly string[] = []
  // An empty argument, or one that isn't UTF-8, can't be passed to a program here.
  const addressIn = (text: string): string => /^<(.*)>/.exec(text)?.[1] ?? ''
  for (const { verb, text } of steps) {
    if (verb === 'MAIL') [sender, recipients] = [addressIn(text), []]
    else if (verb === 'RCPT' && addressIn(text) !== '') recipients = [...recipients, addressIn(text)]
    else if (verb === 'DATA' && recipients.length > 0) {
      const utf8 = [sender, ...recipients].map(each => Buffer.from(each, 'latin1').toString('utf8'))
      const { code, stderr } = await run('sendmail', ['-C', configDir, '-oi', '-f', utf8[0] ?? '', '--', ...utf8.slice(1)], {
        stdin: Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1'),
      })
      replies.push(steady(`sendmail: ${code} ${stderr}`), ...code === 0 ? [await pickedUp()] : [])
    }
  }
  return replies
}

/** Runs the sessions one after the other. */
export const runSessions = async (
  door: Door, sessions: readonly Session[],
): Promise<Observed['replies']> => {
  const replies: (readonly string[])[] = []
  for (const session of sessions) {
    replies.push(session.isLocal === true ? await submit(door, session)
      : await runSession(door.port, session, door.settled))
  }
  return replies
}

/** Makes a session that no other equals, and the line that it leaves in the log. */
export const runMarker = {
  run: async (port: number): Promise<void> => {
    const { ask, close } = await openClient(port)
    await ask('EHLO marker.example')
    await ask('QUIT')
    close()
  },
  logged: /disconnect from \S+ ehlo=\S+ quit=1 commands=/,
}

const isOurs = (id: string | undefined): id is string => id?.startsWith('<s') === true

/** The lines about messages of each instance's log, by Message-ID. */
export const readLogs = (logs: readonly string[]): Observed['log'] => {
  const lines = new Map<string, string[]>()
  for (const [key, text] of logs.flatMap(readLog)) lines.set(key, [...lines.get(key) ?? [], text])
  return new Map([...lines].map(([key, texts]) => [key, texts.sort()]))
}

const readLog = (log: string): readonly (readonly [messageId: string, text: string])[] => {
  const idOf = new Map<string, string>()
  const events: (readonly [queueId: string, text: string])[] = []
  for (const line of log.split('\n')) {
    const [, program = '', id = '', rest = ''] = /^\w+ +\d+ [\d:]+ \S+ (\S+?)\[\d+\]: ([0-9A-F]{8,14}): (.*)$/.exec(
      line,
    ) ?? []
    const messageId = /^(?:resent-)?message-id=(\S+)/.exec(rest)?.[1]
    if (messageId !== undefined) idOf.set(id, messageId)
    else if (/^(?:to|from|orig_to)=/.test(rest) || (/cleanup|smtpd/.test(program) && !rest.startsWith('client='))) {
      const text = steady(rest).replace(/, delays?=[\d./]*(, delays=[\d./]*)?/g, '').replace(/size=\d+, /, '')
        .replace(/, conn_use=\d+/, '').replace(/\]:\d+/g, ']:PORT')
        // The text of a delivery may name the next hop of a queue. qmgr(8) finds a queue by its next hop in lower case,
        // but names it as its first recipient spelled it (qmgr_queue_create), and which one is first depends on timing.
        .replace(/(?<=status=\w+ \().*/, reason => reason.toLowerCase())
      events.push([id, `${program} ${text}`])
    }
  }
  return events.map(([id, text]) => {
    const messageId = idOf.get(id)
    return [isOurs(messageId) ? messageId : 'other', text]
  })
}

/** Lists the warnings in the log, each kind once. */
export const readWarnings = (log: string): readonly string[] =>
  [...new Set(log.split('\n').flatMap(line => {
    const [, program = '', text] = /^\w+ +\d+ [\d:]+ \S+ (\S+?)\[\d+\]: ((?:\S+: )?(?:warning|fatal|panic|error): .*)$/.exec(
      line,
    ) ?? []
    return text === undefined ? [] : [steady(`${program} ${text}`)]
  }))]

/** The envelope and headers of a message in the sink, without those that name a time or a place. */
export const readMessage = ({ sender, recipients, body, login }: Received): string => {
  const [head = ''] = body.split('\n\n', 1)
  const headers = head.replace(/^Received:.*(?:\n[ \t].*)*\n?/gm, '').replace(/^Date:.*\n?/gm, '')
  const messageId = /^Message-I[dD]:\s*(\S+)/m.exec(headers)?.[1]
  const kept = isOurs(messageId) ? headers : headers.split('\n').filter(
    line => /^(?:To|From|Subject):/.test(line),
  ).join('\n')
  const loggedIn = login === null ? '' : ` logged in as ${login}`
  return `${sender} -> ${[...recipients].sort().join(' ')}${loggedIn}\n${kept}`
}
