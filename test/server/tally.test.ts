import t from 'tap'
import { createLog } from '../../src/log.js'
import { byteString, found } from '../../src/outcome.js'
import { Tallies } from '../../src/server/tally.js'

t.test('keys and values of a sensitive map are logged at no level, those of others at debug level', async t => {
  const lines: string[] = []
  const tallies = new Tallies('socketmap', createLog(
    { level: 'debug', format: 'text', journal: false }, line => lines.push(line), Date.now))
  tallies.setMaps([{ name: 'sasl', sensitive: true }, { name: 'alias', sensitive: false }])
  tallies.note('sasl', 'relay.example', found(byteString('user:S3cret')), null)
  tallies.note('alias', 'info@example.com', found(byteString('box')), null)
  t.match(lines[0], /debug: map sasl: found\n$/)
  t.notMatch(lines[0], /relay|S3cret/)
  t.match(lines[1], /debug: map alias: info@example.com: found: box\n$/)
})
