/** Changing main.cf and master.cf: copies first, and all or nothing. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { applyChanges } from '../../src/adopt/apply.js'
import { readPostconf } from '../../src/postfix/postconf.js'
import { freshFolder } from '../fixtures/guard.js'

const main = '# a comment\nvirtual_alias_maps =\n    mysql:/a.cf\n    # another\n    mysql:/b.cf\n'
const master = 'smtp inet n - n - - smtpd\n  -o { smtpd_sender_restrictions = check_sender_access mysql:/c.cf, '
  + 'permit }\n'

const folderWith = (): string => {
  const folder = freshFolder()
  writeFileSync(join(folder, 'main.cf'), main, { mode: 0o640 })
  writeFileSync(join(folder, 'master.cf'), master)
  return folder
}
const read = (folder: string): readonly string[] => ['main.cf', 'master.cf'].map(
  name => readFileSync(join(folder, name), 'utf8'),
)

t.test('the files are changed, and the copies have the old text', async t => {
  const folder = folderWith()
  const copies = await applyChanges(folder, [
    ['-Pe', 'smtp/inet/smtpd_sender_restrictions=check_sender_access,socketmap:unix:x:c,permit'],
    ['-e', 'virtual_alias_maps=socketmap:unix:x:a'],
  ], 'stamp')
  const postfix = await readPostconf(folder)
  t.equal(postfix.written.get('virtual_alias_maps'), 'socketmap:unix:x:a')
  t.strictSame(postfix.overrides, [
    {
      service: 'smtp/inet', parameter: 'smtpd_sender_restrictions',
      value: 'check_sender_access,socketmap:unix:x:c,permit',
    },
  ])
  t.strictSame(copies, [join(folder, 'main.cf.stamp'), join(folder, 'master.cf.stamp')])
  t.strictSame(copies.map(file => readFileSync(file, 'utf8')), [main, master])
  t.equal(statSync(join(folder, 'main.cf.stamp')).mode & 0o777, 0o640, 'with the same permissions')
})

t.test('if one file can\'t be changed, both have their old text', async t => {
  const folder = folderWith()
  await t.rejects(applyChanges(folder, [
    ['-e', 'virtual_alias_maps=socketmap:unix:x:a'], ['-Pe', 'not a setting'],
  ], 'stamp'), /postconf/)
  t.strictSame(read(folder), [main, master])
})
