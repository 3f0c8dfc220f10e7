/**
 * Several processes that answer, behind one daemon that accepts: `workers:`.
 * Each has its own memory, its own connections to MySQL and Redis and its own
 * share of the clients, which come to them in turn. One that ends or hangs is
 * started anew; its clients connect again, as Postfix's do, and reach another.
 */
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Config } from '../config/config.js'
import type { TableRow } from '../admin/actions.js'
import type { Share } from '../admin/status.js'
import type { Log } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import { forkOwn } from '../runtime/own_process.js'
import type { Answering } from '../daemon/serving.js'
import type { Calls, FromWorker, ToWorker } from './messages.js'

const program = fileURLToPath(new URL('worker.js', import.meta.url))

/** One that ended is started again after this (ms), doubled each time it doesn't get far. */
const minRestartMs = 1_000
const maxRestartMs = 30_000
/** All are asked so often (ms) whether they turn, and one that hasn't answered for so long is killed. */
const pulseMs = 10_000
const hungMs = 30_000
/** Who looks at the status doesn't wait longer (ms) for a worker. */
const shareBudgetMs = 1_000
/** After their last answers are due, workers have so long (ms) to write down what they know. */
const endGraceMs = 20_000

type Waiting = { readonly resolve: (value: unknown) => void, readonly reject: (error: Error) => void }

type Client = { readonly listener: string, readonly socket: Socket }

type Worker = {
  readonly index: number
  child: ChildProcess
  isReady: boolean
  readonly waiting: Map<number, Waiting>
  /** Clients that it has not taken yet: if it never does, they are another's. */
  readonly offered: Map<number, Client>
  lastShare: Share | null
  /** Since when it owes an answer to a pulse (epoch ms); null: it owes none. */
  owesSince: number | null
  restartMs: number
  /** How many reloads it has seen. */
  reloads: number
}

/** Starts `count` workers on a configuration file that was read without faults; resolves when all may have clients. Rejects if one can't start. */
export const startWorkers = async (config: Config, count: number, log: Log, clock: Clock): Promise<Answering> => {
  let isClosing = false
  let callCount = 0
  let clientCount = 0
  let turn = 0
  let reloads = 0
  let deadlineMs = config.file.deadline
  let isShared = config.redis !== null

  const launch = (index: number): ChildProcess => forkOwn(program, [config.fileName, String(index), String(count)])
  const workers = Array.from({ length: count }, (_, index): Worker =>
    ({ index, child: launch(index), isReady: false, waiting: new Map(), offered: new Map(), lastShare: null, owesSince: null, restartMs: minRestartMs, reloads: 0 }))

  const ready = (): readonly Worker[] => workers.filter(({ isReady }) => isReady)

  const call = <Name extends keyof Calls>(worker: Worker, name: Name, ...args: Parameters<Calls[Name]>): ReturnType<Calls[Name]> => {
    const id = callCount++
    const asked: ToWorker = { kind: 'call', id, name, args }
    return new Promise<unknown>((resolve, reject) => {
      worker.waiting.set(id, { resolve, reject })
      worker.child.send(asked, error => {
        if (error !== null && worker.waiting.delete(id)) reject(error)
      })
    }) as ReturnType<Calls[Name]>
  }
  /** Asks all that run, or so many of them; gives the first one's answer. Rejects if none runs. */
  const all = async <Result>(ask: (worker: Worker) => Promise<Result>, atMost = count): Promise<Result> => {
    const [first, ...others] = ready().slice(0, atMost)
    if (first === undefined) throw new Error('no worker runs; they are being started')
    const [result] = await Promise.all([ask(first), ...others.map(ask)])
    return result
  }

  /** The one next in turn; one that is slow to take its clients has to wait for more. */
  const nextWorker = (): Worker | undefined => {
    const able = ready()
    turn++
    let next: Worker | undefined
    for (let step = 0; step < able.length; step++) {
      const worker = able[(turn + step) % able.length]
      if (worker !== undefined && (next === undefined || worker.offered.size < next.offered.size)) next = worker
    }
    return next
  }
  /** This process keeps the client until the worker says that it has it: of one that died before, it goes to another. */
  const offer = (client: Client): void => {
    const worker = nextWorker()
    if (worker === undefined) {
      client.socket.destroy()
      return
    }
    const id = clientCount++
    const message: ToWorker = { kind: 'client', id, listener: client.listener }
    worker.offered.set(id, client)
    worker.child.send(message, client.socket, { keepOpen: true }, error => {
      if (error === null) return
      // It is about to end.
      worker.isReady = false
      if (worker.offered.delete(id)) offer(client)
    })
  }

  const reload = async (worker: Worker): Promise<void> => {
    worker.reloads = reloads
    // Of one that has ended, the next one reads what is new.
    const isDone = await call(worker, 'reload').catch(() => true)
    if (!isDone) log.error(`worker ${worker.index}: not reloaded: the configuration has changed again meanwhile, and has problems; serving as before`)
  }

  const hear = (worker: Worker, message: FromWorker, onReady: () => void): void => {
    switch (message.kind) {
      case 'ready':
        onReady()
        return
      case 'took':
        worker.offered.get(message.id)?.socket.destroy()
        worker.offered.delete(message.id)
        return
      case 'result': case 'failure': {
        const waiting = worker.waiting.get(message.id)
        worker.waiting.delete(message.id)
        if (message.kind === 'result') waiting?.resolve(message.value)
        else waiting?.reject(new Error(message.message))
        return
      }
      case 'log':
        log[message.level](message.text, { ...message.fields, worker: worker.index })
        return
      case 'repeated':
        log.repeated(message.of, message.text, { ...message.fields, worker: worker.index })
        return
      default: message satisfies never
    }
  }

  /** Resolves when the worker is ready, or has ended. */
  const attend = (worker: Worker): Promise<void> => new Promise(resolve => {
    const { child } = worker
    const since = clock.now()
    child.on('message', (message: FromWorker) => hear(worker, message, () => {
      worker.isReady = true
      resolve()
    }))
    child.on('error', error => log.error(`worker ${worker.index}: ${error.message}`))
    child.once('exit', () => { worker.isReady = false })
    // All that it said has been heard by then.
    child.once('close', (code, signal) => {
      const lasted_ms = clock.now() - since
      worker.isReady = false
      worker.owesSince = null
      for (const { reject } of worker.waiting.values()) reject(new Error(`worker ${worker.index} has ended`))
      worker.waiting.clear()
      const left = [...worker.offered.values()]
      worker.offered.clear()
      for (const client of left) offer(client)
      resolve()
      if (isClosing) return
      log.error(`worker ${worker.index} ended by ${signal ?? `exit code ${code ?? 'none'}`}: its clients connect anew, it is started again`, { lasted_ms })
      if (lasted_ms > maxRestartMs) worker.restartMs = minRestartMs
      clock.after(worker.restartMs, () => {
        if (isClosing) return
        worker.reloads = reloads
        worker.child = launch(worker.index)
        void attend(worker).then(async () => {
          if (!worker.isReady) return
          log.info(`worker ${worker.index} answers again`)
          // One that came while it was starting.
          if (worker.reloads !== reloads) await reload(worker)
        })
      })
      worker.restartMs = Math.min(worker.restartMs * 2, maxRestartMs)
    })
  })

  const askShare = async (worker: Worker): Promise<void> => {
    worker.owesSince ??= clock.now()
    try {
      worker.lastShare = await call(worker, 'share')
      worker.owesSince = null
    } catch {
      // It has ended, which is told elsewhere.
    }
  }
  const pulse = (): void => {
    for (const worker of ready()) {
      if (worker.owesSince !== null && clock.now() - worker.owesSince >= hungMs) {
        log.error(`worker ${worker.index} has not answered for ${hungMs / 1_000} s: killing it`)
        worker.child.kill('SIGKILL')
      } else void askShare(worker)
    }
    stopPulse = clock.after(pulseMs, pulse)
  }

  await Promise.all(workers.map(attend))
  if (ready().length < count) {
    isClosing = true
    for (const { child } of workers) child.kill('SIGKILL')
    throw new Error('a worker could not start, see above')
  }
  await Promise.all(workers.map(askShare))
  let stopPulse = clock.after(pulseMs, pulse)

  /** All workers' rows, each key once. */
  const rowsOf = async function* (streams: readonly (readonly [Worker, number])[]): AsyncGenerator<readonly TableRow[], string | null> {
    const seen = new Set<string>()
    let missing: string | null = null
    for (const [worker, stream] of streams) {
      for (;;) {
        const next = await call(worker, 'more', stream)
        if (next.done === true) {
          missing ??= next.value
          break
        }
        const rows = next.value.filter(([key]) => !seen.has(key))
        for (const [key] of rows) seen.add(key)
        yield rows
      }
    }
    return missing
  }

  return {
    canAnswer: () => ready().length > 0,
    accept: (listener, socket) => offer({ listener, socket }),
    shares: async () => {
      let cancel = (): void => undefined
      const late = new Promise<void>(resolve => { cancel = clock.after(shareBudgetMs, resolve) })
      await Promise.race([late, Promise.all(ready().map(askShare))])
      cancel()
      return workers.flatMap(({ lastShare }) => lastShare === null ? [] : [lastShare])
    },
    explain: (address, map) => all(worker => call(worker, 'explain', address, map), 1),
    trust: map => all(worker => call(worker, 'trust', map)),
    flush: (map, key) => all(worker => call(worker, 'flush', map, key)),
    // Into the Redis that they share, or each into its own memory.
    warm: map => all(worker => call(worker, 'warm', map), isShared ? 1 : count),
    rows: async map => {
      const streams: (readonly [Worker, number])[] = []
      for (const worker of ready()) {
        const stream = await call(worker, 'rows', map)
        if (typeof stream === 'string') return stream
        streams.push([worker, stream])
      }
      return rowsOf(streams)
    },
    take: (map, rows, madeAt) => all(worker => call(worker, 'take', map, rows, madeAt)),
    reload: async (next, sources) => {
      // Each worker opens its own.
      sources.close()
      deadlineMs = next.file.deadline
      isShared = next.redis !== null
      reloads++
      await Promise.all(ready().map(reload))
    },
    close: async how => {
      isClosing = true
      stopPulse()
      const ended = workers.map(({ child }) => new Promise<void>(resolve => {
        if (child.exitCode !== null || child.signalCode !== null) resolve()
        else child.once('exit', () => resolve())
      }))
      const cancel = clock.after(deadlineMs + endGraceMs, () => {
        for (const { child } of workers) child.kill('SIGKILL')
      })
      await Promise.all(workers.map(async worker => {
        if (worker.isReady) await call(worker, 'close', how).catch(() => undefined)
        else worker.child.kill('SIGKILL')
        if (worker.child.connected) worker.child.disconnect()
      }))
      await Promise.all(ended)
      cancel()
    },
  }
}
