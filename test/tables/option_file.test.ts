import t from 'tap'
import { readOptionFiles } from '../../src/tables/option_file.js'
import { memoryFiles } from './files.js'

const read = (content: Readonly<Record<string, string>>, group = 'client'): Record<string, string> =>
  Object.fromEntries(readOptionFiles(['/my.cnf'], group, memoryFiles(content)))

t.test('the clients\' groups and the named one are read, others are not', t => {
  const content = {
    '/my.cnf': 'user=nobody\n[mysqld]\nport=1\n[client]\nuser = a\n[client-server]\nsocket=/s\n[postfix]\nuser = '
      + 'b\npassword=p\n',
  }
  t.same(read(content), { user: 'a', socket: '/s' })
  t.same(read(content, 'postfix'), { user: 'b', password: 'p', socket: '/s' })
  t.end()
})

t.test('names take - and _ alike, the last one counts, a name alone is a switch', t => {
  t.same(read({ '/my.cnf': '[client]\nssl_ca=/a\nssl-ca = /b\nssl\n' }), { 'ssl-ca': '/b', ssl: '' })
  t.end()
})

t.test('comments go, quotes around a value go, escapes are read', t => {
  t.same(read({ '/my.cnf': '# c\n; c\n[client]\r\npassword = "p#a%s $x"\r\nuser = \'u\'\nsocket=a\\sb\\\\c\\d\n' }), {
    password: 'p#a%s $x', user: 'u', socket: 'a b\\c\\d',
  })
  t.end()
})

t.test('included files are read in their place', t => {
  t.same(read({
    '/my.cnf': '[client]\nuser=a\nport=1\n!include /more.cnf\n!include /nosuch.cnf\n!includedir /conf.d\n',
    '/more.cnf': '[client]\nuser=b\n!include /my.cnf\n',
    '/conf.d/z.cnf': '[client]\nport=3\n', '/conf.d/a.cnf': '[client]\nport=2\n', '/conf.d/x.txt': '[client]\nport=9\n',
  }), { user: 'b', port: '3' })
  t.end()
})
