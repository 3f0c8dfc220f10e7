/**
 * The Debian package's life, with the real dpkg in a copy of this machine:
 * built, installed, configured, started as its unit says, asked; upgraded, with
 * what the administrator wrote kept; removed; purged.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'
import { noOverlay, overlay } from '../fixtures/overlay.js'
import { version } from '../../src/runtime/package.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))

const must = async (command: string, ...args: readonly string[]): Promise<string> => {
  // What tap has each Node load would double the time that npm takes.
  const { code, stdout, stderr } = await run(command, args, { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

/** The same package as if it were version 9, with another sample configuration. */
const nextVersion = async (folder: string, deb: string): Promise<string> => {
  await must('sh', '-ec', `dpkg-deb -R "$2" "$1"
sed -i 's/^Version: .*/Version: 9/' "$1/DEBIAN/control"
sed -i 's/"version": ".*"/"version": "9.0.0"/' "$1/usr/lib/holdfast/package.json"
dpkg-deb -Znone -b "$1"`, 'sh', join(folder, 'next'), deb)
  return join(folder, 'next.deb')
}

const configuration = `
listen:
  - socketmap: unix:/var/spool/postfix/holdfast/holdfast.sock
    mode: "0660"
    group: postfix
health: off
maps:
  virtual_alias: {search: virtual, text: /etc/holdfast/aliases}
`

t.test('the package is installed, started as its unit says, upgraded with what was configured kept, removed and purged', { timeout: 110_000, skip: await noOverlay() }, async t => {
  const folder = freshFolder()
  const built = await must('sh', 'deploy/debian/build.sh', folder, '')
  const deb = join(folder, `holdfast_${version}_all.deb`)
  t.equal(built.trim(), deb)
  const machine = await overlay()
  t.teardown(() => machine.close())
  // Node may be here by another way than Debian's.
  const install = (file: string): Promise<string> =>
    machine.sh('dpkg --force-unsafe-io --force-confdef --ignore-depends=nodejs -i "$1" < /dev/null', file)
  t.match(await install(deb), /holdfast adopt --output [^]*systemctl enable --now holdfast.socket holdfast/)
  t.match(await machine.sh('ls /usr/share/doc/holdfast/examples'), 'holdfast.yaml')
  t.match(await machine.sh('holdfast --version'), version)
  t.match(await machine.sh('getent passwd holdfast'), /^holdfast:.*:\/var\/lib\/holdfast:\/usr\/sbin\/nologin$/m)
  t.equal(await machine.sh('stat -c "%U %G %a" /var/spool/postfix/holdfast'), 'holdfast postfix 750\n')
  t.equal(await machine.sh('find /etc/systemd -name "holdfast*"'), '', 'nothing is started before it is configured')
  for (const page of ['man8/holdfast.8', 'man5/holdfast.yaml.5']) t.match(await machine.sh(`zcat /usr/share/man/${page}.gz`), '.Dt HOLDFAST')
  t.match(await machine.sh('bash -c "source /usr/share/bash-completion/completions/holdfast; complete -p holdfast"'), '_holdfast')
  t.match(await machine.sh('zsh -c "autoload -U compinit; compinit -D; whence -w _holdfast"'), 'function')
  t.match(await machine.sh('fish -c "complete -C \'holdfast stat\'"'), 'status')

  await machine.sh('cat > /etc/holdfast/holdfast.yaml <<EOF\n$1\nEOF\necho info@example.com ann@example.com > /etc/holdfast/aliases', configuration)
  const unit = await machine.sh('cat /lib/systemd/system/holdfast.service')
  const command = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? 'none'
  const serve = async (): Promise<() => Promise<number | null>> => {
    // User=, SupplementaryGroups= and StateDirectory= of the unit.
    const daemon = await machine.start(`install -d -o holdfast -g holdfast /var/lib/holdfast
export STATE_DIRECTORY=/var/lib/holdfast
exec setpriv --reuid=holdfast --regid=holdfast --groups "$(getent group postfix | cut -d: -f3)" --no-new-privs ${command}`)
    t.teardown(() => daemon.kill())
    await daemon.printed(/ready: 1 map/)
    return async () => {
      daemon.signal('SIGTERM')
      return (await daemon.exited).code
    }
  }
  const ask = (): Promise<string> => machine.sh('setpriv --reuid=postfix --regid=postfix --clear-groups holdfast query virtual_alias info@example.com')

  const stop = await serve()
  t.equal(await ask(), 'ann@example.com\n')
  await machine.sh('touch /var/lib/holdfast/snapshot')
  t.equal(await stop(), 0)

  await install(await nextVersion(folder, deb))
  t.match(await machine.sh('holdfast --version'), '9.0.0')
  t.equal((await machine.sh('cat /etc/holdfast/holdfast.yaml')).trim(), configuration.trim())
  t.equal(await machine.sh('find /etc/holdfast -name "*dpkg*"'), '', 'an upgrade asks nothing')
  const stopNext = await serve()
  t.equal(await ask(), 'ann@example.com\n')
  t.equal(await stopNext(), 0)

  await machine.sh('echo "virtual_alias_maps = socketmap:unix:holdfast/holdfast.sock:virtual_alias" >> /etc/postfix/main.cf')
  t.match(await machine.sh('dpkg -r holdfast 2>&1'), /WARNING: Postfix still asks Holdfast/)
  t.equal((await machine.sh('cat /etc/holdfast/holdfast.yaml')).trim(), configuration.trim(), 'removal keeps the configuration')
  await machine.sh('rm /etc/holdfast/aliases; dpkg -P holdfast')
  t.equal(await machine.sh('find /etc /lib /run /usr /var -xdev -name "*holdfast*"'), '')
})
