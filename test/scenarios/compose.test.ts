/**
 * deploy/compose.yaml, as far as it goes without an engine for containers:
 * docker-compose takes it; what it and the recipes of its images name is there;
 * its tables, its node's configuration and its main.cf work together on real
 * servers, all well and with MariaDB gone.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { run } from '../fixtures/child.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startPostfix } from '../fixtures/postfix.js'
import { startRedis } from '../fixtures/redis.js'
import { rcptReply } from '../fixtures/smtp.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const textOf = (name: string): string => readFileSync(join(root, 'deploy', name), 'utf8')

type Service = {
  readonly build?: { readonly context: string, readonly dockerfile: string }
  readonly volumes?: readonly string[]
  readonly depends_on?: readonly string[]
}
type Composition = { readonly services: Readonly<Record<string, Service>>, readonly secrets: Readonly<Record<string, { readonly file: string }>> }
type NodeConfig = {
  readonly listen: readonly [{ readonly socketmap: string }]
  readonly redis: { readonly host: string }
  readonly databases: { readonly mail: { readonly hosts: string, readonly password_file: string } }
}

const nodeConfig = parse(textOf('compose/holdfast.yaml')) as NodeConfig
const mainCf = Object.fromEntries([...textOf('compose/postfix/main.cf').matchAll(/^(\w+) =(.*)$/gm)].map(([, name = '', value = '']) => [name, value.trim()]))

const { services, secrets } = parse(textOf('compose.yaml'), { merge: true }) as Composition

/** Source and place of each volume. */
const volumesOf = ({ volumes = [] }: Service): readonly (readonly string[])[] => volumes.map(volume => volume.split(':'))

t.test('docker-compose takes the file, and what it mounts and builds from is there', async t => {
  const { code, stdout, stderr } = await run('docker-compose', ['-f', join(root, 'deploy/compose.yaml'), 'config'])
  t.equal(code, 0, stderr)
  t.same(Object.keys((parse(stdout) as Composition).services).sort(), Object.keys(services).sort())
  const files = Object.values(services).flatMap(service => [
    ...volumesOf(service).flatMap(([source = '']) => source.startsWith('./') ? [source] : []),
    ...service.build === undefined ? [] : [join(service.build.context, service.build.dockerfile)],
  ])
  t.ok(files.length >= 7)
  for (const file of [...files, ...Object.values(secrets).map(({ file }) => file)]) t.ok(existsSync(join(root, 'deploy', file)), file)
})

t.test('what the recipes of the images copy is there, and is let into their context', t => {
  const allowed = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n').flatMap(line => line.startsWith('!') ? [line.slice(1)] : [])
  for (const [recipe, context] of [['oci/Containerfile', '..'], ['compose/postfix/Containerfile', 'compose/postfix']] as const) {
    const copied = [...textOf(recipe).matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '))
    t.ok(copied.length > 0)
    for (const file of copied) {
      t.ok(existsSync(join(root, 'deploy', context, file)), file)
      if (context === '..') t.ok(allowed.some(path => file === path || file.startsWith(`${path}/`)), `${file} is in .dockerignore's list`)
    }
  }
  t.end()
})

t.test('the build of the image needs nothing that its recipe does not copy', async t => {
  const folder = freshFolder()
  const [ofBuild = ''] = textOf('oci/Containerfile').split('RUN npm run build')
  const copied = [...ofBuild.matchAll(/^COPY (.*) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '))
  for (const file of copied) cpSync(join(root, file), join(folder, file), { recursive: true })
  // What npm ci and tsc have made of them.
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const part of ['src', 'proto', 'deploy']) cpSync(join(root, 'dist', part), join(folder, 'dist', part), { recursive: true })
  const { code, stderr } = await run(process.execPath, ['deploy/bundle.js'], { cwd: folder, env: { ...process.env, SOURCE_DATE_EPOCH: '1' } })
  t.equal(code, 0, stderr)
  t.ok(existsSync(join(folder, 'dist/holdfast/main.js')))
})

t.test('the names that configuration and main.cf give are those of the composition', t => {
  const { hosts, password_file: passwordFile } = nodeConfig.databases.mail
  t.ok(hosts in services && nodeConfig.redis.host in services)
  t.ok(passwordFile.replace('/run/secrets/', '') in secrets)
  const socket = nodeConfig.listen[0].socketmap.replace('unix:', '')
  for (const mx of ['mx1', 'mx2']) {
    const [node = ''] = services[mx]?.depends_on ?? []
    const [volume] = volumesOf(services[node] ?? {}).find(([, place]) => place === dirname(socket)) ?? []
    const [, place = ''] = volumesOf(services[mx] ?? {}).find(([source]) => source === volume) ?? []
    t.equal(join(place, 'holdfast.sock'), '/var/spool/postfix/holdfast/holdfast.sock', `${mx} and ${node} share the socket's folder`)
  }
  t.end()
})

t.test('tables, configuration and main.cf work together: all well, and with MariaDB gone', async t => {
  // The client is a stranger, though it comes from this machine.
  const [mariadb, redis, postfix] = await Promise.all([startMariadb({ sql: textOf('compose/mail.sql') }), startRedis(), startPostfix({ mainCf: { ...mainCf, mynetworks: '' } })])
  t.teardown(() => Promise.all([mariadb.stop(), redis.stop(), postfix.stop()]))
  // postconf(5): main.cf's path is relative to the queue folder.
  mkdirSync(join(postfix.queueDir, 'holdfast'))
  const holdfast = await startHoldfast(JSON.stringify({
    ...nodeConfig,
    listen: [{ ...nodeConfig.listen[0], socketmap: `unix:${postfix.queueDir}/holdfast/holdfast.sock` }],
    health: 'off', admin: 'off', redis: { host: redis.host, port: redis.port },
    databases: { mail: { hosts: `127.0.0.1:${mariadb.port}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
  }))
  t.teardown(() => holdfast.kill())

  const known = ['info@example.com', 'Postmaster+x@example.com', 'ann@example.net']
  for (const recipient of known) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 250 }, recipient)
  for (const recipient of ['nobody@example.com', 'nobody@example.net']) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 550 }, recipient)
  t.match(await rcptReply(postfix.smtpPort, 'info@elsewhere.example'), { code: 554 })
  await mariadb.kill()
  for (const recipient of known) t.match(await rcptReply(postfix.smtpPort, recipient), { code: 250 }, recipient)
  t.match(await rcptReply(postfix.smtpPort, 'stranger@example.com'), { code: 451 })
})
