#!/usr/bin/env node
/**
 * The command line: the only file that reads the environment, listens to signals
 * or exits. What one command needs is loaded with it: `query` need not wait for
 * all that `serve` takes.
 */
import { Argument, Command } from 'commander'
import type * as Control from './cli/control.js'
import { parseEndpoint } from './config/endpoint.js'
import type { Config } from './config/config.js'
import type { Endpoint } from './config/endpoint.js'
import type { Explained } from './admin/actions.js'
import type { Report } from './admin/http.js'
import { version } from './runtime/package.js'

/** sysexits(3): wrong use; try again later; configuration error. */
const exitUsage = 64
const exitTempfail = 75
const exitConfig = 78

const standardConfig = '/etc/holdfast/holdfast.yaml'

const fail = (exitCode: number, text: string): never => {
  process.stderr.write(`holdfast: ${text}\n`)
  process.exit(exitCode)
}

/** Where a running daemon is asked: --at, else what `pick` finds in the configuration; a text says what that lacks. */
const daemonAt = async (options: { at?: string, config: string }, pick: (config: Config) => Endpoint | string): Promise<Endpoint> => {
  if (options.at !== undefined) {
    const endpoint = parseEndpoint(options.at.replace(/^socketmap:/, ''))
    return typeof endpoint === 'string' ? fail(exitUsage, `--at: ${endpoint}`) : endpoint
  }
  const { loadConfig } = await import('./config/load.js')
  const loaded = loadConfig(options.config, process.env)
  if (!loaded.ok) return fail(exitConfig, `${options.config} has problems (see \`holdfast check\`); or name the socket with --at`)
  const picked = pick(loaded.config)
  return typeof picked === 'string' ? fail(exitConfig, `${options.config} has no ${picked}`) : picked
}

const asClient = ({ listeners }: Config): Endpoint | string =>
  listeners.find(({ protocol }) => protocol === 'socketmap')?.address ?? 'socketmap listener'
const asAdmin = ({ admin }: Config): Endpoint | string =>
  admin === null ? '`admin:` socket, such as unix:/run/holdfast/admin.sock' : { kind: 'unix', path: admin }
const asWatcher = (config: Config): Endpoint | string => config.health ?? asAdmin(config)

const program = new Command('holdfast')
  .description('Answers Postfix\'s table lookups from MySQL through a warm cache, and never says "not found" when it could not find out.')
  .version(version)
  .showHelpAfterError()
  .configureHelp({ showGlobalOptions: true })
  .addHelpText('after', `
Examples:
  holdfast adopt --output /etc/holdfast/holdfast.yaml    a configuration from Postfix's own
  holdfast check                                         what is wrong with it, and with the servers
  holdfast query virtual_alias info@example.com          ask the daemon, as Postfix does
  holdfast status --watch                                is mail safe now
  holdfast help query                                    more of a command; holdfast(8) has all of it`)

program.command('serve')
  .description('run the daemon (in the foreground)')
  .argument('[CONFIG]', 'the configuration file', standardConfig)
  .addHelpText('after', '\nExample:\n  holdfast serve /etc/holdfast/holdfast.yaml\n\nSignals: SIGHUP reads the configuration anew; SIGTERM and SIGINT answer what was asked and stop.')
  .action(async (config: string) => {
    process.exitCode = await (await import('./cli/serve.js')).serve(config, process)
  })

program.command('check')
  .description('check the configuration, connect to each server, and see whether Postfix can ask; exit code 0 if all is well, 78 if a configuration is wrong, 75 if a server can\'t be used now')
  .argument('[CONFIG]', 'the configuration file', standardConfig)
  .option('--config-dir <DIR>', 'where Postfix\'s main.cf and master.cf are', '/etc/postfix')
  .addHelpText('after', '\nExample:\n  sudo -u postfix holdfast check /etc/holdfast/holdfast.yaml\n\nAs Postfix\'s user it sees what Postfix may; as root it also looks whether the service may read its files.')
  .action(async (config: string, options: { configDir: string }) => {
    process.exitCode = await (await import('./cli/check.js')).check(config, options, process)
  })

program.command('query')
  .description('ask a running daemon, as Postfix would; exit code 0 found, 1 absent, 75 unavailable')
  .argument('<MAP>', 'the name of the map')
  .argument('<KEY>', 'an address or a domain')
  .option('--at <ADDRESS>', 'where the daemon listens: unix:PATH or inet:HOST:PORT')
  .option('--config <FILE>', 'the configuration file that says where it listens', standardConfig)
  .option('--timeout <SECONDS>', 'how long to wait', '10')
  .addHelpText('after', '\nExample:\n  holdfast query --at unix:/run/holdfast/holdfast.sock virtual_alias info@example.com')
  .action(async (map: string, key: string, options: { at?: string, config: string, timeout: string }) => {
    const seconds = Number(options.timeout)
    if (!(seconds > 0)) fail(exitUsage, `--timeout: '${options.timeout}' is not a number of seconds`)
    const endpoint = await daemonAt(options, asClient)
    const { query } = await import('./cli/query.js')
    const result = await query(endpoint, map, key, seconds * 1_000)
    process.stdout.write(result.stdout)
    process.stderr.write(result.stderr)
    process.exitCode = result.exitCode
  })

program.command('compare')
  .description('ask the tables themselves and the running daemon; print the keys whose answers differ; exit code 0 if none does, 1 if some do, 75 if some could not be asked')
  .argument('<MAP>', 'the name of the map')
  .option('--keys <FILE>', 'the keys, one a line; - for standard input', '-')
  .option('--config <FILE>', 'the configuration file', standardConfig)
  .addHelpText('after', '\nExample:\n  cut -f1 addresses | holdfast compare virtual_alias')
  .action(async (map: string, options: { keys: string, config: string }) => {
    process.exitCode = await (await import('./cli/compare.js')).compare(map, options, process)
  })

program.command('adopt')
  .description('find the mysql: tables of a Postfix; give a configuration for them and the commands that switch over and back')
  .option('--config-dir <DIR>', 'where main.cf and master.cf are', '/etc/postfix')
  .option('--output <FILE>', 'write the configuration there, unless there is another already')
  .option('--apply', 'switch Postfix over, if the daemon answers; keeps copies of main.cf and master.cf')
  .addHelpText('after', '\nExample:\n  holdfast adopt --output /etc/holdfast/holdfast.yaml\n\nWithout --apply nothing of Postfix\'s is changed.')
  .action(async (options: { configDir: string, output?: string, apply?: true }) => {
    process.exitCode = await (await import('./cli/adopt.js')).adopt(options, process)
  })

type ControlOptions = { at?: string, config: string }
const control = (name: string, description: string, example: string): Command => program.command(name)
  .description(description)
  .option('--at <ADDRESS>', 'where the daemon is asked: unix:PATH (its `admin:` socket)')
  .option('--config <FILE>', 'the configuration file that says where', standardConfig)
  .addHelpText('after', `\nExample:\n  ${example}`)

/** Asks and prints; exit code 75 if the daemon doesn't answer or refuses. */
const asking = async (name: string, ask: (control: typeof Control) => Promise<string>): Promise<void> => {
  try {
    process.stdout.write(await ask(await import('./cli/control.js')))
  } catch (error) {
    process.stderr.write(`holdfast ${name}: ${error instanceof Error ? error.message : 'failed'}\n`)
    process.exitCode = exitTempfail
  }
}

control('status', 'is mail safe now, since when, which part is ill', 'holdfast status --watch')
  .option('--watch', 'go on, every two seconds')
  .option('--json', 'everything, as JSON')
  .action(async (options: ControlOptions & { watch?: true, json?: true }) => {
    const show = (): Promise<void> => asking('status', async ({ call, painter, showStatus }) => {
      const report = await call(await daemonAt(options, asWatcher), '/status')
      const text = options.json === true ? `${JSON.stringify(report, null, 2)}\n` : showStatus(report as Report, painter(process.stdout.isTTY))
      return options.watch === true && process.stdout.isTTY ? `\x1b[H\x1b[2J${text}` : text
    })
    await show()
    if (options.watch === true) setInterval(() => void show(), 2_000)
  })

control('explain', 'walk one address through every map as Postfix would: what is known, what the table says now', 'holdfast explain info+news@example.com')
  .argument('<ADDRESS>', 'an address or a domain')
  .option('--map <MAP>', 'this map only')
  .option('--json', 'as JSON')
  .action((address: string, options: ControlOptions & { map?: string, json?: true }) => asking('explain', async ({ call, painter, showExplained }) => {
    const explained = await call(await daemonAt(options, asAdmin), '/explain', { address, ...options.map === undefined ? {} : { map: options.map } })
    return options.json === true ? `${JSON.stringify(explained, null, 2)}\n` : showExplained(explained as Explained[], Date.now(), painter(process.stdout.isTTY))
  }))

const doneOf = (reply: unknown): string => typeof reply === 'object' && reply !== null && 'done' in reply ? `${String(reply.done)}\n` : ''

control('trust', 'believe a table as it is now, though known keys are gone from it', 'holdfast trust virtual_alias')
  .argument('<MAP>', 'the name of the map')
  .action((map: string, options: ControlOptions) => asking('trust', async ({ call }) =>
    doneOf(await call(await daemonAt(options, asAdmin), '/trust', { map }))))

control('flush', 'have a key, those of a domain, or every key of a map asked anew, on all nodes; what is known stays at hand for an outage', 'holdfast flush virtual_alias info@example.com')
  .argument('<MAP>', 'the name of the map')
  .argument('[KEY]', 'an address, a domain, or @DOMAIN for all of a domain')
  .action((map: string, key: string | undefined, options: ControlOptions) => asking('flush', async ({ call }) =>
    doneOf(await call(await daemonAt(options, asAdmin), '/flush', { map, ...key === undefined ? {} : { key } }))))

control('export', 'write what is known of a map as a Postfix text table, for texthash: or postmap(1), should there be nothing else left', 'holdfast export virtual_alias > /etc/postfix/virtual_alias')
  .argument('<MAP>', 'the name of the map')
  .action(async (map: string, options: ControlOptions) => {
    const { exportMap } = await import('./cli/export.js')
    if (options.at !== undefined) {
      process.exitCode = await exportMap(map, await daemonAt(options, asAdmin), null, process)
      return
    }
    const { loadConfig } = await import('./config/load.js')
    const loaded = loadConfig(options.config, process.env)
    if (!loaded.ok) fail(exitConfig, `${options.config} has problems (see \`holdfast check\`); or name the socket with --at`)
    else process.exitCode = await exportMap(map, loaded.config.admin === null ? null : { kind: 'unix', path: loaded.config.admin }, loaded.config, process)
  })

control('import', 'give the rows of a Postfix text table to the running daemon, to answer from while MySQL can\'t; what it knows already stays', 'holdfast import virtual_alias /etc/postfix/virtual_alias')
  .argument('<MAP>', 'the name of the map')
  .argument('<FILE>', 'the table, as texthash: has it')
  .action(async (map: string, file: string, options: ControlOptions) => {
    process.exitCode = await (await import('./cli/import.js')).importMap(map, file, await daemonAt(options, asAdmin), process)
  })

control('warm', 'load the whole table of a map into the caches now; needs `warm:` on the map', 'holdfast warm virtual_alias')
  .argument('<MAP>', 'the name of the map')
  .action((map: string, options: ControlOptions) => asking('warm', async () =>
    (await import('./cli/warm.js')).warm(await daemonAt(options, asAdmin), map, process.stdout)))

program.command('schema')
  .description('print the JSON Schema of holdfast.yaml, for editors')
  .addHelpText('after', '\nExample:\n  holdfast schema > holdfast.schema.json\n\nAn editor with a YAML language server takes it from a first line such as\n# yaml-language-server: $schema=holdfast.schema.json')
  .action(async () => {
    process.stdout.write(`${JSON.stringify((await import('./config/json_schema.js')).jsonSchema(), null, 2)}\n`)
  })

program.command('manual')
  .description('print a page of the manual for man(1)')
  .addArgument(new Argument('[PAGE]', 'which page').choices(['holdfast', 'holdfast.yaml']).default('holdfast'))
  .addHelpText('after', '\nExample:\n  holdfast manual holdfast.yaml | man -l -')
  .action(async (name: string) => {
    process.stdout.write((await import('./cli/manual.js')).manual(program, name, process.env))
  })

program.command('completion')
  .description('print the completion script for a shell, or what it asks for: the names of the maps')
  .addArgument(new Argument('<WHAT>').choices(['bash', 'zsh', 'fish', 'maps']))
  .option('--config <FILE>', 'the configuration file that has the maps', standardConfig)
  .addHelpText('after', '\nExamples:\n  source <(holdfast completion bash)\n  source <(holdfast completion zsh)\n  holdfast completion fish | source')
  .action(async (what: 'bash' | 'zsh' | 'fish' | 'maps', { config }: { config: string }) => {
    process.stdout.write((await import('./cli/completion.js')).completion(program, what, config, standardConfig, process.env))
  })

process.on('uncaughtException', error => {
  // A bug. Whoever supervises us starts a new process; Postfix asks again by itself.
  process.stderr.write(`holdfast: bug: ${error.stack ?? error.message}\n`)
  process.exit(exitTempfail)
})

await program.parseAsync()
