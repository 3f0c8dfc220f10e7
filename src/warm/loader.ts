/**
 * A loader: a process that loads one table into Redis, and ends. It is apart from
 * the one that serves, which would let lookups wait while it reads rows, and whose
 * memory would grow. It ends too when that one is gone.
 */
import { setPriority } from 'node:os'
import { openBulk } from '../caches/bulk.js'
import { messageOf } from '../log.js'
import { belongToDaemon } from '../runtime/own_process.js'
import { openServers } from '../mysql/database.js'
import { defineFromCf, defineTable } from '../tables/definition.js'
import type { TableDefinition } from '../tables/definition.js'
import type { FromLoader, Job } from './job.js'
import { load } from './table_load.js'

const tellEveryMs = 200
/** Lookups go first. */
const niceness = 10

belongToDaemon()

/** The definition that is meant; a text says why it can't be had. */
const definitionOf = ({ definedBy, fingerprint, hosts, login }: Job): TableDefinition | string => {
  const defined = definedBy.kind === 'cf' ? defineFromCf(definedBy.path) : defineTable(definedBy.parameters, parameter => parameter)
  const where = definedBy.kind === 'cf' ? definedBy.path : 'a file that it names'
  if (!defined.ok || defined.definition.fingerprint !== fingerprint) return `${where} has changed since the daemon read it: reload`
  return { ...defined.definition, hosts, login }
}

/** `then`: it has been sent, or nobody is there to hear it. */
const tell = (message: FromLoader, then: () => void = () => undefined): void => {
  process.send?.(message, undefined, undefined, then)
}

const run = async (job: Job): Promise<void> => {
  let told = { rows: 0, keys: 0, last: job.after }
  const telling = setInterval(() => tell({ kind: 'progress', ...told }), tellEveryMs)
  const work = async (): Promise<string | null> => {
    const definition = definitionOf(job)
    if (typeof definition === 'string') return definition
    const bulk = await openBulk(job.redis).catch((error: unknown) => `Redis: ${messageOf(error)}`)
    if (typeof bulk === 'string') return bulk
    // A list has nothing to do with breakers and the number of connections.
    const servers = openServers({ connections: 1, failures: 1, windowMs: 1, resetMs: 1, suspectMs: 1, idleMs: 1, maxLagMs: null, onState: () => undefined })
    return load({
      table: { definition, database: servers.database(job.hosts, job.login) },
      listing: job.listing, after: job.after,
      write: entries => bulk.write(job.identity, entries, job.verifiedAt, job.keepMs),
      onRows: rows => { told = { ...told, rows: told.rows + rows } },
      onWritten: (last, keys) => { told = { ...told, last, keys: told.keys + keys } },
      objection: () => null,
    })
  }
  const problem = await work().catch(messageOf)
  clearInterval(telling)
  tell({ kind: 'end', problem, ...told }, () => process.exit(0))
}

process.once('message', (job: Job) => {
  try {
    // Not before all is read: on a busy machine that would take long.
    setPriority(niceness)
  } catch {
    // Whoever confines this service allows no such thing.
  }
  void run(job)
})
