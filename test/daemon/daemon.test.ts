/** What a reload of the daemon leaves in memory. */
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createEvents } from '../../src/admin/history.js'
import { Daemon } from '../../src/daemon/daemon.js'
import type { Configuration } from '../../src/daemon/open_sources.js'
import { inheritedSockets } from '../../src/daemon/systemd.js'
import { startRedis } from '../fixtures/redis.js'
import { startBed } from './bed.js'

t.test('a daemon that is reloaded keeps nothing of the configurations before', async t => {
  const bed = await startBed(t, 'a', ['info@example.com', 'box'], line => t.fail(line))
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { log } = bed
  const read = (): Promise<Configuration> => bed.read(
    { alias: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'' } }, { redis: { path: redis.socket } },
  )
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void

  const daemon = new Daemon(await read(), log, createEvents(Date.now), inheritedSockets({}, process.pid))
  await daemon.open()
  t.teardown(() => daemon.close())
  const replaced: WeakRef<Configuration>[] = []
  for (let reload = 0; reload < 3; reload++) {
    replaced.push(new WeakRef(daemon.configuration))
    await daemon.reload(await read())
  }
  const left = (): number => replaced.filter(each => each.deref() !== undefined).length
  // The last lookups have their time, and closed connections take theirs to be gone.
  for (let tries = 0; tries < 500 && left() > 0; tries++) {
    await setTimeout(20)
    collectGarbage()
  }
  t.equal(left(), 0)
})
