/** An administrator at a running daemon: explain and flush. */
import t from 'tap'
import { command, start } from '../fixtures/control.js'

t.test('explain shows each step: what is known, what the table says, and what Postfix gets', async t => {
  const bed = await start(t, '(\'info@example.com\', \'box@example.com\')')
  t.equal(await bed.ask('info@example.com'), 'OK box@example.com')
  const { code, stdout } = await command(bed, 'explain', 'info+news@example.com')
  t.equal(code, 0)
  t.match(stdout, new RegExp([
    'alias \\(virtual\\), asked for info\\+news@example\\.com\\n  info\\+news@example\\.com\\n(    copy: .*\\n)?    table on .*: absent\\n',
    '  info@example\\.com\\n    memory: found: box@example\\.com \\(fresh, verified .*\\n',
  ].join('')))
  t.match(stdout, /    table on .*: found: box@example\.com\n  -> found: box\+news@example\.com /)
})

t.test('flush makes Holdfast ask again for a key or a map; in an outage it still gives the known answer', async t => {
  const bed = await start(t, '(\'a@example.com\', \'old\'), (\'b@example.com\', \'old\')')
  t.equal(await bed.ask('a@example.com'), 'OK old')
  t.equal(await bed.ask('b@example.com'), 'OK old')
  await bed.mariadb.sql('UPDATE a SET v = \'new\'')
  t.equal(await bed.ask('a@example.com'), 'OK old', 'fresh for five minutes')
  t.match((await command(bed, 'flush', 'alias', 'a@example.com')).stdout, 'alias: asked anew: found')
  t.equal(await bed.ask('a@example.com'), 'OK new')
  t.equal(await bed.ask('b@example.com'), 'OK old')
  t.match((await command(bed, 'flush', 'alias')).stdout, 'every key is asked anew')
  t.equal(await bed.ask('b@example.com'), 'OK new')

  await bed.mariadb.kill()
  t.equal((await command(bed, 'flush', 'alias')).code, 0)
  t.equal(await bed.ask('a@example.com'), 'OK new')
})
