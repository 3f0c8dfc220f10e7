/**
 * One Postfix of the pair, with a second instance behind it where the scenario has one: its services, and what it
 * does with the sessions.
 */
import { chmodSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { freePort } from '../fixtures/port.js'
import { makePostfix } from '../fixtures/postfix.js'
import type { MadePostfix, Postfix } from '../fixtures/postfix.js'
import { startSmtpSink } from '../fixtures/smtp.js'
import { readLogs, readMessage, readWarnings, runMarker, runSessions } from './observed.js'
import type { Observed } from './observed.js'
import type { Scenario } from './scenario.js'

const options = (overrides: Readonly<Record<string, string>>): string =>
  Object.entries(overrides).map(([name, value]) => ` -o {${name}=${value}}`).join('')

type MasterCf = Pick<Scenario, 'overrides' | 'hasPostscreen'>

const masterCf = (port: number, { overrides: { smtpd, cleanup, rewrite }, hasPostscreen }: MasterCf): string => `
${hasPostscreen === true ? `127.0.0.1:${port} inet n - n - 1 postscreen
dnsblog unix - - n - 0 dnsblog
smtpd pass - - n - -` : `127.0.0.1:${port} inet n - n - -`} smtpd${options(smtpd)}
cleanup unix n - n - 0 cleanup${options(cleanup)}
rewrite unix - - n - - trivial-rewrite${options(rewrite)}
${['t1', 't2', 'smtp', 'relay', 'lmtp', 'local']
    .map(name => `${name} unix - - n - - discard -o syslog_name=${name}`).join('\n')}
pickup unix n - n 60 1 pickup
tlsmgr unix - - n 1000? 1 tlsmgr
gsm unix - - n - - smtp
lm unix - - n - - lmtp
lo unix - n n - - local
`

/** Whether no mail waits for its first delivery. */
const isIdle = (queueDir: string): boolean => ['incoming', 'active'].every(name => {
  try {
    return readdirSync(join(queueDir, name), { recursive: true }).length === 0
  } catch {
    // A queue folder may disappear while it is read.
    return false
  }
})

const settleQueue = async (queueDir: string): Promise<void> => {
  const until = performance.now() + 600_000
  for (let idle = 0; idle < 3;) {
    if (performance.now() > until) throw new Error('Postfix still delivers after 10 minutes')
    idle = isIdle(queueDir) ? idle + 1 : 0
    await setTimeout(50)
  }
}

/** One side of the pair, before it starts. */
export type Side = {
  /** The instances of Postfix. */
  readonly made: readonly MadePostfix[]
  /** Starts the instances, and runs the sessions on the first. */
  observe(scenario: Scenario): Promise<Observed>
  stop(): Promise<void>
}

/** Without these settings timing alone would make the two Postfix differ. */
const steadySettings = {
  // Whether Postfix stops sending to a destination depends on how many deliveries fail at once, which is chance.
  default_destination_concurrency_failed_cohort_limit: '0',
  // Postfix must not retry deferred mail during a scenario.
  queue_run_delay: '1h', minimal_backoff_time: '1h',
  // With the default, 1,000, an alias loop takes a minute until it reaches the limit; with this, some milliseconds.
  virtual_alias_expansion_limit: '50', virtual_alias_recursion_limit: '20',
}

type Instance = MasterCf & Pick<Scenario, 'main'> & { readonly port: number }

/** `command`: the words before Postfix' own command line. */
export const makeSide = async (command: readonly string[], scenario: Scenario): Promise<Side> => {
  const sink = await startSmtpSink()
  const mailboxes = freshFolder()
  chmodSync(mailboxes, 0o777)
  const instance = ({ port, main, ...services }: Instance): Promise<MadePostfix> => makePostfix({
    command, masterCf: masterCf(port, services),
    mainCf: {
      smtpd_authorized_xclient_hosts: '127.0.0.1', notify_classes: '', smtp_tcp_port: String(sink.port),
      lmtp_tcp_port: String(sink.port), lm_destination_recipient_limit: '1', compatibility_level: '3.6',
      // On a reused connection smtp(8) doesn't check whether the server supports SMTPUTF8, and reuse is chance.
      smtp_connection_cache_on_demand: 'no', lmtp_connection_cache_on_demand: 'no',
      // Names in a scenario may resolve to real servers: from a loopback address Postfix can't reach any of them.
      smtp_bind_address: '127.0.0.1', lmtp_bind_address: '127.0.0.1',
      virtual_mailbox_base: mailboxes, virtual_uid_maps: 'static:65534', virtual_gid_maps: 'static:65534',
      virtual_minimum_uid: '1', default_process_limit: '20', local_recipient_maps: '$alias_maps', ...steadySettings,
      ...main,
    },
  })
  const port = await freePort()
  const onwardPort = await freePort()
  const { main, onward } = scenario
  const none: Scenario['overrides'] = { smtpd: {}, cleanup: {}, rewrite: {} }
  const made = onward === undefined ? [await instance({ ...scenario, port })] : [
    await instance({ ...scenario, port, main: { ...main, relayhost: `[127.0.0.1]:${onwardPort}` } }),
    await instance({ port: onwardPort, main: onward, overrides: none }),
  ]
  const running: Postfix[] = []
  return {
    made,
    observe: async ({ sessions }) => {
      for (const each of made) running.push(await each.start())
      const [first] = running
      if (first === undefined) throw new Error('no instance')
      // Mail goes from the first instance to the second, and not back.
      const settled = async (): Promise<void> => { for (const { queueDir } of made) await settleQueue(queueDir) }
      let submitted = 0
      // pickup(8) logs a message when cleanup(8) has begun its file, and retries one that cleanup(8) doesn't accept.
      const pickedUp = async (): Promise<string> => {
        await first.logged(new RegExp(`(?:pickup\\[\\d+\\]: \\w+: uid=[^]*?){${++submitted}}`))
        await settled()
        const maildrop = join(first.queueDir, 'maildrop')
        const left = readdirSync(maildrop)
        for (const name of left) rmSync(join(maildrop, name))
        return left.length > 0 ? 'not taken' : 'taken'
      }
      const replies = await runSessions({ port, configDir: first.configDir, settled, pickedUp }, sessions)
      await settled()
      // The daemons write to the log in turn: once the marker is in it, so is everything that they logged before.
      const ports = [port, onwardPort]
      await Promise.all(running.map((each, index) =>
        Promise.all([each.logged(runMarker.logged), runMarker.run(ports[index] ?? 0)])))
      const logs = running.map(each => each.log())
      return {
        replies, log: readLogs(logs), warnings: readWarnings(logs.join('\n')), messages: sink.received.map(readMessage),
      }
    },
    stop: async () => {
      for (const [index, each] of made.entries()) await (running[index]?.stop() ?? each.remove())
      await sink.stop()
      removeFolder(mailboxes)
    },
  }
}
