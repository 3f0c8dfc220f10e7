/**
 * Files that a service does not see, since its unit hides them: the socket and the CA file in /var/tmp, which
 * PrivateTmp= makes a folder of the service's own. The daemon says so at start, and `holdfast check`, which sees the
 * files, says so from the unit. A mount namespace plays systemd: the same mounts, as mountinfo shows them.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { tableSql } from '../fixtures/mail.js'
import { socketmapAsk } from '../fixtures/wire.js'

const outside = freshFolder()
t.teardown(() => removeFolder(outside))
const query = 'SELECT v FROM a WHERE k=\'%s\''

/** `other` is a map that works, so that there is something to start. */
const config = (dir: string, other: string): string => JSON.stringify({
  listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
  databases: {
    socket: { hosts: 'unix:/var/tmp/mysqld.sock', user: 'holdfast', password: 'x', dbname: 'mail' },
    tls: { hosts: '127.0.0.1:1', user: 'holdfast', password: 'x', dbname: 'mail', tls_CAfile: '/var/tmp/ca.pem' },
  },
  maps: {
    socket: { search: 'exact', database: 'socket', query }, tls: { search: 'exact', database: 'tls', query },
    other: { search: 'exact', text: other },
  },
})

t.test('PrivateTmp hides the socket and the CA file: the daemon says so at start and with the lookup', async t => {
  const hidden = join(outside, 'systemd-private-1-holdfast.service-a/tmp')
  const other = join(outside, 'other')
  mkdirSync(hidden, { recursive: true })
  writeFileSync(other, 'a b\n')
  const holdfast = await during(t, startHoldfast(dir => config(dir, other), {
    command: ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /var/tmp && exec "$@"', hidden],
  }), 'kill')
  const why = 'the service does not see /var/tmp as others do (PrivateTmp= in its unit)'
  t.match(holdfast.log(), `/var/tmp/ca.pem'; ${why}`)
  t.match(await socketmapAsk(`${holdfast.dir}/s`, 'socket', 'a'), `/mail: no such file or directory; ${why}`)
})

t.test('check sees the files, and says that the service will not', async t => {
  const mariadb = await during(t, startMariadb({ sql: tableSql('(\'a\', \'b\')') }))
  const dir = freshFolder()
  t.teardown(() => removeFolder(dir))
  const units = join(dir, 'units')
  mkdirSync(join(units, 'holdfast.service.d'), { recursive: true })
  const file = join(dir, 'holdfast.yaml')
  writeFileSync(file, JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
    databases: { db: { hosts: `unix:${mariadb.socket}`, user: mariadb.user, password: mariadb.password, dbname: 'mail' } },
    maps: { a: { search: 'exact', database: 'db', query } },
  }))
  const check = async (unit: string, dropIn: string): Promise<string> => {
    writeFileSync(join(units, 'holdfast.service'), unit)
    writeFileSync(join(units, 'holdfast.service.d/10.conf'), dropIn)
    return (await run('unshare', ['--mount', 'sh', '-c', 'mkdir -p /run/systemd/system && mount --bind "$0" /run/systemd/system && exec "$@"', units,
      process.execPath, mainFile, 'check', file])).stdout
  }
  const [top = ''] = /^\/[^/]+/.exec(mariadb.socket) ?? []
  const unit = '[Service]\nProtectHome=yes\nPrivateTmp=yes\n'
  const warning = `map a: ${mariadb.socket}: the service does not see ${top} as others do (PrivateTmp= in its unit)`
  if (top === '/tmp') {
    t.match(await check(unit, ''), warning)
    t.notMatch(await check(unit, '[Service]\nPrivateTmp=no\n'), 'does not see')
  }
})
