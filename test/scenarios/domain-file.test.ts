/**
 * A mysql_table(5) file asks for the keys of some domains only, and these are listed in a file.
 *
 * 1. A key of a domain that is not in the file is absent, and the table is not asked.
 * 2. The domain is added to the file, and postmap is run.
 * 3. Without a reload, the key is found, as it is by Postfix's own client.
 */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { accountOf, writeCf } from '../fixtures/cf.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('a domain added to the file of `domain = hash:` is looked up without a reload, as in Postfix', async t => {
  const mariadb = await during(t, startMariadb({ sql: tableSql('(\'a@old.example\', \'box\'), (\'b@new.example\', \'box\')') }))
  const folder = freshFolder()
  writeFileSync(join(folder, 'main.cf'), `compatibility_level = 3.6\nqueue_directory = ${folder}\n`)
  const file = join(folder, 'domains')
  const postmap = (...args: readonly string[]) => run('postmap', ['-c', folder, ...args])
  const add = async (domain: string): Promise<void> => {
    appendFileSync(file, `${domain} x\n`)
    t.equal((await postmap(`hash:${file}`)).code, 0)
  }
  await add('old.example')
  const cf = writeCf(folder, 'alias', { ...accountOf(mariadb), query: 'SELECT v FROM a WHERE k=\'%s\'', domain: `hash:${file}` })
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', maps: { alias: { search: 'exact', absence: 'refuses', cf } },
  })), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(`${holdfast.dir}/s`, 'alias', key)
  t.equal(await ask('a@old.example'), 'OK box')
  t.equal(await ask('b@new.example'), 'NOTFOUND ')
  await add('new.example')
  t.equal((await postmap('-q', 'b@new.example', `mysql:${cf}`)).stdout, 'box\n')
  while (await ask('b@new.example') !== 'OK box') await setTimeout(100)
  t.equal(await ask('a@old.example'), 'OK box')
})
