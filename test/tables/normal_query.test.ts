import t from 'tap'
import { normalQuery } from '../../src/tables/query_template.js'

const cases = new Map([
  ['select goto  from\n\talias where address = \'%s\'\n and ( active=1 )', 'SELECT goto FROM alias WHERE address=\'%s\' AND (active=1)'],
  ['SELECT a , b FROM t WHERE k IN ( \'%s\' , \'x\' )', 'SELECT a,b FROM t WHERE k IN (\'%s\',\'x\')'],
  ['SELECT \'from  a = b\', "or  ," FROM `from  where`', 'SELECT \'from  a = b\',"or  ," FROM `from  where`'],
  ['SELECT \'it\'\'s  \\\' from\' from t', 'SELECT \'it\'\'s  \\\' from\' FROM t'],
  ['SELECT t.order, Union_Name FROM From_Table WHERE k = %u', 'SELECT t.order,Union_Name FROM From_Table WHERE k=%u'],
  ['SELECT a -- the  from\n  FROM t # all\n', 'SELECT a -- the  from\n FROM t # all\n'],
  ['SELECT a /* as  it  is */ FROM t', 'SELECT a /* as  it  is */ FROM t'],
  ['SELECT 1 - -1,  COUNT (k) FROM t', 'SELECT 1 - -1,COUNT (k) FROM t'],
  ['SELECT größe FROM Ölmühle WHERE in_Ö = 1', 'SELECT größe FROM Ölmühle WHERE in_Ö=1'],
  ['select  \'not closed', 'select  \'not closed'],
])

t.test('a query has one form, whatever its blanks and however its keywords are written', async t => {
  for (const [query, normal] of cases) {
    t.equal(normalQuery(query), normal)
    t.equal(normalQuery(normal), normal, 'which stays')
  }
})
