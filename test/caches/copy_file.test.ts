import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCopyFile, writeCopyFile } from '../../src/caches/copy_file.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'

const folder = freshFolder()
t.teardown(() => removeFolder(folder))
const pieces = [Buffer.from('head'), Buffer.alloc(300_000, 7), Buffer.from([0])]

t.test('what was written is read, piece by piece', async t => {
  const path = join(folder, 'new', 'copy')
  await writeCopyFile(path, pieces)
  t.strictSame(await readCopyFile(path), pieces)
  t.equal(statSync(path).mode & 0o777, 0o600, 'it holds addresses')
})

t.test('no file is no copy', async t => {
  t.equal(await readCopyFile(join(folder, 'none')), null)
})

t.test('a file that is cut short or changed anywhere is not used', async t => {
  const path = join(folder, 'damaged')
  await writeCopyFile(path, [Buffer.from('head'), Buffer.from('rows')])
  const whole = readFileSync(path)
  for (let size = 0; size < whole.length; size++) {
    truncateSync(path, 0)
    writeFileSync(path, whole.subarray(0, size))
    t.type(await readCopyFile(path), 'string', `cut to ${size} bytes`)
    const changed = Buffer.from(whole)
    changed[size] = (changed[size] ?? 0) ^ 1
    writeFileSync(path, changed)
    t.type(await readCopyFile(path), 'string', `byte ${size} changed`)
  }
})
