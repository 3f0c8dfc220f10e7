/**
 * The life of the daemon: start, reload, stop. It has listeners and HTTP
 * (endpoints.ts), and behind them the maps of one configuration
 * (open_maps.ts), which a reload replaces as a whole.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Administered } from '../admin/actions.js'
import { createHistory, stepMs } from '../admin/history.js'
import type { Events } from '../admin/history.js'
import type { Shown } from '../admin/summary.js'
import { mapStatus } from '../admin/status.js'
import type { Status } from '../admin/status.js'
import { endpointName } from '../config/endpoint.js'
import type { Config, ListenerConfig } from '../config/config.js'
import { Announcer } from '../fleet/announcer.js'
import type { Log } from '../log.js'
import { CurrentMaps } from '../lookup/maps.js'
import type { Maps } from '../lookup/maps.js'
import { guardName } from '../postfix/guarded_lists.js'
import { MxWatch } from '../mx/mx_watch.js'
import { version } from '../runtime/package.js'
import { bind } from '../server/bind.js'
import { Listener } from '../server/listener.js'
import { ReplyRoom } from '../server/reply_room.js'
import { socketmap } from '../server/socketmap.js'
import { Tallies } from '../server/tally.js'
import { tcpTable } from '../server/tcp_table.js'
import { systemClock } from '../runtime/clock.js'
import { Snapshots } from '../upkeep/snapshots.js'
import { clientLimits, closeOthers, openFilesLimit, openHttp, openListeners, settingsOf } from './endpoints.js'
import type { ClientLimits, HttpServers, NamedListener } from './endpoints.js'
import { openMaps, openRedis } from './open_maps.js'
import { ownAnnouncement, ownKnowledge } from './own_announcement.js'
import type { OpenMaps } from './open_maps.js'
import type { Configuration } from './open_sources.js'
import type { Inherited } from './systemd.js'

/**
 * The first client, and a reload, wait this long (ms) for Redis. In an outage of MySQL, Redis may be all that knows a
 * key, and who asks before it is connected is deferred.
 */
const redisPatienceMs = 1_000
/** At the start HTTP waits this long (ms) for the clients: loading its code holds them up for a tenth of a second. */
const clientsFirstMs = 50
/** Lookups under way get their deadline and this much more (ms) when their maps close. */
const graceMs = 500

/** The time (ms) after which no lookup in these maps waits any longer. */
const drainMs = ({ file }: Config): number => file.deadline + graceMs

export class Daemon {
  readonly #log: Log
  readonly #inherited: Inherited
  readonly #shown: Shown
  readonly #startedAt = Date.now()
  /** When a reload failed, be it in the file or here (epoch ms); null: the last one did not. */
  reloadFailedAt: number | null = null
  readonly #current = new CurrentMaps()
  readonly #tallies: Readonly<Record<ListenerConfig['protocol'], Tallies>>
  readonly #room = new ReplyRoom()
  #maps: OpenMaps
  /** Maps that a reload replaced, until the last lookup in them has its answer. */
  readonly #leaving = new Map<OpenMaps, NodeJS.Timeout>()
  #listeners: readonly NamedListener[] = []
  #http: HttpServers = { health: null, admin: null }
  #isStopping = false
  readonly #sampling: NodeJS.Timeout
  readonly #snapshots: Snapshots
  /** Null until clients are served. */
  #announcer: Announcer | null = null
  readonly #mx: MxWatch
  /**
   * kill -9 right after a doubt began must not lose it, nor what it began with; nor a new domain of ours. Until clients
   * are served, the snapshot may be another daemon's. This function and the next are made once: made in a reload, they
   * would keep all that the reload replaces.
   */
  readonly #save = (): void => {
    if (this.#announcer !== null && !this.#isStopping) void this.#snapshots.save()
  }
  readonly #recallKept = (maps: Maps, names: ReadonlySet<string>): Promise<void> =>
    // While a reload opens its maps, this is where the snapshot was until then.
    this.#snapshots.recallKept({ path: this.#maps.config.snapshotPath, maps }, names)

  /** Opens the maps; they begin to read what is known from before. */
  constructor({ config, sources }: Configuration, log: Log, events: Events, inherited: Inherited) {
    const history = createHistory()
    this.#log = log
    this.#inherited = inherited
    this.#tallies = { socketmap: new Tallies('socketmap', log), tcp_table: new Tallies('tcp_table', log) }
    this.#shown = { status: () => this.#status(), history, events }
    this.#sampling = setInterval(() => history.sample(this.#status()), stepMs).unref()
    this.#snapshots = new Snapshots({
      current: () => ({ path: this.#maps.config.snapshotPath, maps: this.#maps.maps }), log, clock: systemClock,
    })
    this.#maps = openMaps(config, sources, log, null, {
      save: this.#save,
      recall: maps => this.#snapshots.recall({ path: config.snapshotPath, maps }),
    })
    this.#mx = new MxWatch({
      served: () => this.#maps, fleet: () => this.#announcer?.status?.nodes ?? [], clock: systemClock, log,
    })
  }

  /**
   * Opens listeners and HTTP, once what is known from before is at hand. Rejects if an address can't be had, having
   * closed everything.
   */
  async open(): Promise<void> {
    const { config, evidence } = this.#maps
    await evidence.own
    await Promise.race([evidence.all, sleep(redisPatienceMs, undefined, { ref: false })])
    this.#current.replace(this.#maps.maps, this.#maps.config)
    try {
      this.#listeners = await openListeners(config, [], listener => this.#openListener(listener))
      this.#configure(this.#listeners, config)
      for (const { listener } of this.#listeners) listener.start()
      if ((config.health ?? config.admin) !== null) await sleep(clientsFirstMs)
      this.#http = await this.#openHttp(config)
      this.#announcer = this.#announce()
    } catch (error) {
      closeOthers(this.#listeners, [])
      // Another daemon may be there, and the snapshot its own.
      this.#closeMaps()
      throw error
    }
  }

  /** Where clients reach it, as Postfix would name it: `socketmap:unix:/run/...`. */
  get addresses(): readonly string[] {
    return this.#listeners.map(({ listener: { address, status: { protocol } } }) => {
      const name = endpointName(address)
      return protocol === 'socketmap' ? `socketmap:${name}` : `tcp:${name.slice('inet:'.length)}`
    })
  }

  get healthUrl(): string | null {
    return this.#http.health?.url ?? null
  }

  /** The configuration in force. */
  get configuration(): Configuration {
    return this.#maps
  }

  /**
   * Takes another configuration over: clients stay, addresses that are new open, those that are gone close, and every
   * map changes at the same moment. Rejects if a new address can't be had; then all is as it was, and `sources` are
   * closed.
   */
  async reload({ config, sources }: Configuration): Promise<void> {
    const [before, oldListeners, oldHttp] = [this.#maps, this.#listeners, this.#http]
    let listeners: readonly NamedListener[] = oldListeners
    const redis = openRedis(config, this.#log, before)
    try {
      await Promise.race([redis?.cache.tried, sleep(redisPatienceMs, undefined, { ref: false })])
      listeners = await openListeners(config, oldListeners, listener => this.#openListener(listener))
      this.#http = await this.#openHttp(config)
    } catch (error) {
      closeOthers(listeners, oldListeners)
      sources.close()
      redis?.close()
      throw error
    }
    // What a map has learned that is taken away now is in the file for the next start.
    await this.#snapshots.save()
    // From here nothing can fail: all maps change between two requests, but for those that are new.
    this.#maps = openMaps(config, sources, this.#log, before, { save: this.#save, redis, recall: this.#recallKept })
    const isAnyGone = [...before.maps.values()].some(map => map.kind === 'mysql' && this.#maps.retired.has(map))
    if (isAnyGone) this.#snapshots.keepAside(before.config.snapshotPath)
    await this.#serveReloaded(before.config)
    this.#listeners = listeners
    this.#configure(listeners, config)
    for (const each of listeners) if (!oldListeners.includes(each)) each.listener.start()
    this.#leave(before)
    const gone = oldListeners.filter(each => !listeners.includes(each))
    await Promise.all(gone.map(({ listener }) => listener.close(drainMs(before.config))))
    if (oldHttp.health !== this.#http.health) await oldHttp.health?.close()
    if (oldHttp.admin !== this.#http.admin) await oldHttp.admin?.close()
  }

  /** A map of which nothing is known yet is as it was before, until what this node knew of it is read. */
  async #serveReloaded({ faults }: Config): Promise<void> {
    const { maps, config, unknownBefore, evidence } = this.#maps
    if (unknownBefore.size > 0) {
      const known = new Map([...maps].filter(([name]) => !unknownBefore.has(name)))
      this.#current.replace(known, { ...config, faults })
      await evidence.own
    }
    this.#current.replace(maps, config)
  }

  /** Answers what was asked, writes the snapshot, closes everything. */
  async close(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#listeners.map(({ listener }) => listener.close(drainMs(this.#maps.config))))
    await this.#snapshots.close()
    this.#closeMaps()
    await this.#http.health?.close()
    await this.#http.admin?.close()
  }

  async #openListener(config: ListenerConfig): Promise<Listener> {
    const { protocol, address } = config
    const log = this.#log
    const fault = (problem: string): void =>
      log.repeated(`fault ${protocol}`, `${protocol}: a client could not be accepted: ${problem}`)
    const socket = await bind(address, this.#inherited.take(address), fault)
    const dialect = protocol === 'socketmap' ? socketmap : tcpTable
    const context = { dialect, maps: this.#current, tallies: this.#tallies[protocol], log, room: this.#room }
    return new Listener(socket, context, settingsOf(config, this.#clientLimits()))
  }

  #openHttp(config: Config): Promise<HttpServers> {
    const administered = (): Administered => ({
      ...this.#maps, forgetNode: async name => this.#announcer?.forget(name) ?? 'the daemon is starting',
    })
    return openHttp(config, this.#http, this.#clientLimits().http, this.#shown, administered, this.#log)
  }

  /** Tells the nodes that share the Redis of this one, from now on. */
  #announce(): Announcer {
    return new Announcer({
      shared: () => this.#maps.redis?.cache ?? null, own: () => ownAnnouncement(this.#status(), this.#maps),
      knows: ownKnowledge(() => this.#maps), clock: systemClock,
      onFinding: ({ text }) => this.#log.warn(`fleet: ${text}`),
      onProblem: problem => {
        // What is wrong with Redis as a whole is in the log already.
        if (this.#maps.redis?.cache.status().state !== 'ready') return
        this.#log.warn(`fleet: nodes can't see each other in Redis: ${problem}; no mail is affected`)
      },
    })
  }

  #clientLimits(): ClientLimits {
    return clientLimits(this.#maps.config, this.#maps.sources.status().length, openFilesLimit())
  }

  /** `listeners` are those of `config`, in its order. */
  #configure(listeners: readonly NamedListener[], config: Config): void {
    const limits = this.#clientLimits()
    const { clients, kept } = limits
    if (kept !== null) {
      this.#log.warn(`max_connections: ${clients} instead of ${config.file.max_connections} for each listener: this `
        + `process may have ${openFilesLimit()} files and connections open, of which ${kept} are kept for MySQL, Redis `
        + 'and HTTP. Raise LimitNOFILE= of the service, or ulimit -n')
    }
    const tcpMaps = new Set<string>()
    let hasSocketmap = false
    for (const [index, wanted] of config.listeners.entries()) {
      listeners[index]?.listener.configure(settingsOf(wanted, limits))
      if (wanted.protocol === 'tcp_table') tcpMaps.add(wanted.map)
      else hasSocketmap = true
    }
    // What a map without a definition is asked is counted, and logged as if it were sensitive.
    const maps = [...config.maps, ...[...config.faults.keys()].flatMap(name =>
      config.maps.some(map => map.name === name) ? [] : [{ name, sensitive: true }]),
    ...config.recipientGuard.length === 0 ? [] : [{ name: guardName, sensitive: false }]]
    this.#tallies.socketmap.setMaps(hasSocketmap ? maps : [])
    this.#tallies.tcp_table.setMaps(maps.filter(({ name }) => tcpMaps.has(name)))
  }

  #status(): Status {
    const { config, openedAt, maps, loaders, sources, canaries, copies, redis } = this.#maps
    const listeners = this.#listeners.map(({ listener }) => listener.status)
    return {
      version, node: config.node.name, role: config.file.role,
      ready: !this.#isStopping && listeners.every(({ problem }) => problem === null),
      now: Date.now(), startedAt: this.#startedAt, configuredAt: openedAt,
      reloadFailedAt: this.reloadFailedAt,
      listeners,
      redis: redis?.cache.status() ?? null,
      servers: sources.status(),
      canaries: canaries.map(({ state }) => state),
      faults: [...config.faults].map(([map, problems]) =>
        ({ map, problems, isServed: maps.has(map), since: openedAt })),
      maps: [...maps.values()].map(map => mapStatus(map, copies.of(map.name), loaders.get(map.name))),
      answers: [...this.#tallies.socketmap.list(), ...this.#tallies.tcp_table.list()],
      snapshotProblem: this.#snapshots.problem,
      fleet: this.#announcer?.status ?? null,
      mx: this.#mx.status,
    }
  }

  /** Closes replaced maps once the last lookup in them has had its time. */
  #leave(maps: OpenMaps): void {
    // The account may have no more connections than one configuration takes.
    maps.sources.retire()
    this.#leaving.set(maps, setTimeout(() => {
      this.#leaving.delete(maps)
      maps.close()
    }, drainMs(maps.config)).unref())
  }

  #closeMaps(): void {
    clearInterval(this.#sampling)
    this.#announcer?.close()
    this.#mx.close()
    for (const [maps, timer] of this.#leaving) {
      clearTimeout(timer)
      maps.close()
    }
    this.#maps.close()
  }
}
