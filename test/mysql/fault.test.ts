import t from 'tap'
import { faultOf } from '../../src/mysql/fault.js'
import type { Fault, Phase } from '../../src/mysql/fault.js'

const serverError = (errno: number, code = 'ER_SOME', message = 'words of the server'): Error =>
  Object.assign(new Error(message), { errno, code, sqlState: 'HY000' })
const clientError = (code: string, message = ''): Error => Object.assign(new Error(message), { code, errno: -111 })

const brief = ({ blame, reason, again, broken }: Fault): string => `${blame} ${reason} ${again} ${broken ? 'broken' : 'whole'}`

// what happened, when, and what is made of it
const cases: readonly (readonly [string, Error | null, Phase, string])[] = [
  ['refused', clientError('ECONNREFUSED'), 'connect', 'server source-down new broken'],
  ['no route', clientError('EHOSTUNREACH'), 'connect', 'server source-down new broken'],
  ['lost while connecting', clientError('PROTOCOL_CONNECTION_LOST'), 'connect', 'server source-down new broken'],
  ['no such socket', clientError('ENOENT'), 'connect', 'server source-refused new broken'],
  ['socket of others', clientError('EACCES'), 'connect', 'server source-refused new broken'],
  ['name not found', clientError('ENOTFOUND'), 'connect', 'server source-refused new broken'],
  ['name server silent', clientError('EAI_AGAIN'), 'connect', 'server source-refused new broken'],
  ['too many open files', clientError('EMFILE'), 'connect', 'server source-refused new broken'],
  ['certificate', clientError('HANDSHAKE_SSL_ERROR'), 'connect', 'server source-refused new broken'],
  ['no TLS', clientError('HANDSHAKE_NO_SSL_SUPPORT'), 'connect', 'server source-refused new broken'],
  ['another kind of server', new RangeError('out of range'), 'connect', 'server source-refused new broken'],
  ['lost', clientError('PROTOCOL_CONNECTION_LOST'), 'query', 'server source-down new broken'],
  ['reset', clientError('ECONNRESET'), 'query', 'server source-down new broken'],
  ['not the protocol', new RangeError('out of range'), 'query', 'server source-down new broken'],
  ['not even an error', null, 'query', 'server source-down new broken'],
  ['access denied', serverError(1045), 'connect', 'server source-refused no broken'],
  ['no such database', serverError(1049), 'connect', 'server source-refused no broken'],
  ['too many connections', serverError(1040), 'connect', 'server source-refused no broken'],
  ['any error while connecting', serverError(4999), 'connect', 'server source-refused no broken'],
  ['access denied to another server behind this one', serverError(1045), 'query', 'query query-error no whole'],
  ['no such database in a query', serverError(1049), 'query', 'query query-error no whole'],
  ['Galera node not ready', serverError(1047), 'query', 'server source-down no broken'],
  ['too many user connections', serverError(1203), 'query', 'server source-refused no broken'],
  ['queries an hour used up', serverError(1226), 'query', 'server source-refused no broken'],
  ['a library error from a proxy', serverError(2013), 'query', 'server source-down no broken'],
  ['a SQL proxy without back end', serverError(9001), 'query', 'server source-down no broken'],
  ['shutting down', serverError(1053), 'query', 'server source-down new broken'],
  ['connection killed', serverError(1927), 'query', 'server source-down new broken'],
  ['closed for being idle', serverError(4031), 'query', 'server source-down new broken'],
  ['deadlock', serverError(1213), 'query', 'query query-error same whole'],
  ['lock wait', serverError(1205), 'query', 'query query-error same whole'],
  ['syntax', serverError(1064), 'query', 'query query-error no whole'],
  ['missing table', serverError(1146), 'query', 'query query-error no whole'],
  ['missing column', serverError(1054), 'query', 'query query-error no whole'],
  ['crashed table', serverError(1194), 'query', 'query query-error no whole'],
  ['subquery of two rows', serverError(1242), 'query', 'query query-error no whole'],
  ['mixed collations', serverError(1267), 'query', 'query query-error no whole'],
  ['query killed', serverError(1317), 'query', 'query query-error no whole'],
  ['ended for its time by MariaDB', serverError(1969), 'query', 'query timeout no whole'],
  ['ended for its time by MySQL', serverError(3024), 'query', 'query timeout no whole'],
  ['packet too large', serverError(1153), 'query', 'query query-error no broken'],
]
for (const [name, error, phase, expected] of cases) {
  t.test(`${name}: ${expected}`, async t => {
    t.equal(brief(faultOf(error, phase)), expected)
  })
}

t.test('the words of an error that can hold values are left out, its name is there', async t => {
  const fault = faultOf(serverError(1292, 'ER_TRUNCATED_WRONG_VALUE', 'Truncated incorrect INTEGER value: \'secret@key\''), 'query')
  t.equal(fault.detail, 'error 1292 ER_TRUNCATED_WRONG_VALUE')
})

t.test('an error without a known name is reported by its number alone', async t => {
  t.equal(faultOf(serverError(4998, 'UNKNOWN_CODE_PLEASE_REPORT'), 'query').detail, 'error 4998')
})

t.test('the words of an error about tables are kept, on one printable line', async t => {
  t.equal(faultOf(serverError(1146, 'ER_NO_SUCH_TABLE', 'Table \'m\nü\' doesn\'t exist'), 'query').detail, 'error 1146: Table \'m \' doesn\'t exist')
})

t.test('an authentication plug-in that the driver lacks is named', async t => {
  const fault = faultOf(clientError('AUTH_SWITCH_PLUGIN_ERROR', 'Server requests authentication using unknown plugin client_ed25519. See there.'), 'connect')
  t.equal(fault.detail, 'the account needs the authentication plug-in client_ed25519, which is not supported; give it, or an account of Holdfast\'s own, mysql_native_password or caching_sha2_password')
})
