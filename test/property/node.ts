/** A node of the mail site: what daemon/daemon.ts opens for a configuration, without listeners and HTTP. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openMaps, openRedis } from '../../src/daemon/open_maps.js'
import type { OpenMaps } from '../../src/daemon/open_maps.js'
import { readConfiguration } from '../../src/daemon/open_sources.js'
import type { Configuration } from '../../src/daemon/open_sources.js'
import { createLog } from '../../src/log.js'
import type { MysqlMap } from '../../src/lookup/maps.js'
import type { Outcome } from '../../src/outcome.js'
import { systemClock } from '../../src/runtime/clock.js'
import { flush } from '../../src/upkeep/flush.js'
import { Snapshots } from '../../src/upkeep/snapshots.js'
import { freshFolder } from '../fixtures/guard.js'
import type { TableName } from './mysql.js'
import { tableNames } from './world.js'
import type { World } from './world.js'

export type Setting = {
  readonly withRedis: boolean, readonly isFallback: boolean, readonly withChanges: boolean,
  readonly isBalanced: boolean,
  /** false: copy_rows is 0, so no table is copied. */
  readonly withCopies: boolean,
}

export type NodeSettings = { readonly world: World, readonly which: 0 | 1, readonly setting: Setting }

/** How long a start or a reload waits for Redis, and a closed configuration for its lookups, as in the daemon (ms). */
const patienceMs = 1_000
const drainMs = 2_500

/** The lines in which any node's log reports a bug. */
export const bugs: string[] = []
const log = createLog({ level: 'warn', format: 'text', journal: false }, line => {
  if (line.includes('bug: ')) bugs.push(line)
}, Date.now)

/** Where a node keeps its files. */
export const diskOf = (which: 0 | 1): string => `/disk/${which}`

const folder = freshFolder()
const files = new Map<string, string>()

/** Writes the configuration file of a node, with all times at their defaults; returns its path. */
const configurationFile = ({ which, setting }: NodeSettings, letter: string): string => {
  const { withRedis, isFallback, withChanges, isBalanced, withCopies } = setting
  const maps = {
    alias: {
      search: 'virtual', query: `SELECT target_${letter} FROM alias WHERE address='%s'`,
      ...withChanges ? { changes: `SELECT address FROM alias WHERE ${which}<9 AND modified>='%s'` } : {},
    },
    domains: { search: 'exact', query: 'SELECT label_d FROM domains WHERE name=\'%s\'' },
    timed: { search: 'recipient', query: 'SELECT target_t FROM timed WHERE address=\'%s\' AND until > NOW()' },
  }
  const text = JSON.stringify({
    listen: [{ socketmap: 'unix:/nowhere/s' }], health: 'off', recipient_delimiter: '+',
    snapshot: `${diskOf(which)}/snapshot`, copies: `${diskOf(which)}/copies`,
    ...isFallback ? { role: 'fallback', outage: 'reject' } : {}, ...withRedis ? { redis: { host: 'redis' } } : {},
    memory: { entries: 200, absent_entries: 20 }, ...withCopies ? {} : { copy_rows: 0 },
    databases: {
      db: { hosts: isBalanced ? 'balancer' : 's0 s1', user: 'holdfast', password: 'secret', dbname: 'mail' },
    },
    maps: Object.fromEntries(Object.entries(maps).map(([name, map]) => [name, { database: 'db', ...map }])),
  })
  const known = files.get(text)
  if (known !== undefined) return known
  const path = join(folder, `${files.size}.yaml`)
  writeFileSync(path, text)
  files.set(text, path)
  return path
}

/** Reads the configuration of a node. The test's clock doesn't move meanwhile, because the file is a real one. */
const read = async (settings: NodeSettings, letter: string, current: OpenMaps | null): Promise<Configuration> => {
  const configuration = await readConfiguration(configurationFile(settings, letter), {}, log, current)
  if (configuration === null) throw new Error('the configuration has faults')
  return configuration
}

/** A process of Holdfast on a machine of its own. */
export class Node {
  readonly #settings: NodeSettings
  readonly #snapshots: Snapshots
  #opened: OpenMaps
  #letter: string
  #isAlive = true

  private constructor(settings: NodeSettings, letter: string, { config, sources }: Configuration) {
    this.#settings = settings
    this.#letter = letter
    this.#snapshots = new Snapshots({
      current: () => ({ path: this.#isAlive ? this.#opened.config.snapshotPath : null, maps: this.#opened.maps }),
      log, clock: systemClock,
    })
    this.#opened = openMaps(config, sources, log, null, {
      save: this.#save, recall: maps => this.#snapshots.recall({ path: config.snapshotPath, maps }),
    })
  }

  /** Reads the configuration. Resolves with a function that starts the node and resolves when it would take clients. */
  static async prepare(settings: NodeSettings, letter: string): Promise<() => Promise<Node>> {
    const configuration = await read(settings, letter, null)
    return async () => {
      const node = new Node(settings, letter, configuration)
      const { evidence } = node.#opened
      await evidence.own
      await Promise.race([evidence.all, sleep(patienceMs)])
      return node
    }
  }

  readonly #save = (): void => { if (this.#isAlive) void this.#snapshots.save() }

  /** The letter in the query of the alias map that is in force, `a` or `b`. */
  get letter(): string {
    return this.#letter
  }

  map(table: TableName): MysqlMap {
    const map = this.#opened.maps.get(table)
    if (map?.kind !== 'mysql') throw new Error(`no map ${table}`)
    return map
  }

  lookup(table: TableName, key: string): Outcome | Promise<Outcome> {
    return this.map(table).lookup.lookup(key)
  }

  /** Reads the new configuration. Resolves with a function that puts it into force. */
  async prepareReload(letter: string): Promise<() => Promise<void>> {
    const before = this.#opened
    const { config, sources } = await read(this.#settings, letter, before)
    return async () => {
      const redis = openRedis(config, log, before)
      await Promise.race([redis?.cache.tried, sleep(patienceMs)])
      if (!this.#isAlive) return
      this.#opened = openMaps(config, sources, log, before, { save: this.#save, redis })
      this.#letter = letter
      systemClock.after(drainMs, () => before.close())
    }
  }

  /** As `holdfast flush` does. */
  flush(table: TableName, what: string | null): void {
    void flush(this.map(table), what, flushed => this.#opened.announce(flushed))
  }

  trust(): void {
    for (const table of tableNames) this.map(table).trust.trust()
  }

  /** Stops the process: in order, with a last save, or by kill -9. */
  async stop(isKilled: boolean): Promise<void> {
    const { which, world: { machines } } = this.#settings
    if (isKilled) machines.disk.kill(diskOf(which))
    else await this.#snapshots.close()
    this.#isAlive = false
    if (isKilled) this.#opened.redis?.cache.client.disconnect()
    this.#opened.close()
  }
}
