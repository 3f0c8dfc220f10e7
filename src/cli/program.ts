/**
 * The command line: each command with its arguments, options, help and examples.
 * holdfast(8) and the completions of the shells are made from it, too. A command
 * loads what it needs when it runs, so that `query` doesn't wait for what `serve` takes.
 */
import { readFileSync } from 'node:fs'
import { Argument, Command } from 'commander'
import { packageFile, version } from '../runtime/package.js'
import type { AdoptOptions } from './adopt.js'
import type { CheckOptions } from './check.js'
import type { CompareOptions } from './compare.js'
import { standardConfig } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import type { ExplainOptions } from './explain_lookup.js'
import type { MxOptions } from './mx.js'
import { Failure } from './terminal.js'
import type { QueryOptions } from './query.js'
import type { StatusOptions } from './show_status.js'

/** The command line. `process` gives its streams and its environment, and takes the exit code. */
export const createProgram = (process: NodeJS.Process): Command => {
  const program = new Command('holdfast')
    .description('Answers Postfix\'s table lookups from MySQL through a cache, '
      + 'and never says "not found" if MySQL could not be asked.')
    .version(`${version} (Node.js ${process.versions.node})`)
    .showHelpAfterError()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', `
Examples:
  holdfast adopt --output /etc/holdfast/holdfast.yaml    write a configuration from Postfix's own
  holdfast check                                         find faults in it, and in the servers
  holdfast query virtual_alias info@example.com          ask the daemon, as Postfix does
  holdfast status --watch                                see whether mail is safe now
  holdfast help query                                    read more on a command; holdfast(8) has all of it`)
  addServing(program, process)
  addAsking(program, process)
  addMoving(program, process)
  addShowing(program, process)
  addMx(program, process)
  addTelling(program, process)
  addRows(program, process)
  addPages(program, process)
  // The commands show their own help after an error; that of all commands would hide it.
  return program.showHelpAfterError('`holdfast --help` lists the commands')
}

/** Runs a command: its exit code becomes the process's, and a Failure becomes a message. */
const run = async (name: string, process: NodeJS.Process, command: () => Promise<number>): Promise<void> => {
  try {
    process.exitCode = await command()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    process.stderr.write(`holdfast ${name}: ${error.message}\n`)
    process.exitCode = error.exitCode
  }
}

const examples = (...lines: readonly string[]): string =>
  `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map(line => `  ${line}`).join('\n')}`

const addServing = (program: Command, process: NodeJS.Process): void => {
  program.command('serve')
    .description('run the daemon in the foreground')
    .argument('[CONFIG]', 'the configuration file', standardConfig)
    .addHelpText('after', `${examples('holdfast serve /etc/holdfast/holdfast.yaml')}\n
Signals: SIGHUP reads the configuration again; SIGTERM and SIGINT answer the requests under way and stop.`)
    .action((config: string) => run('serve', process, async () => (await import('./serve.js')).serve(config, process)))

  program.command('reload')
    .description('for the service manager: have the daemon read its configuration again, and wait for what comes of '
      + 'it; exit code 0 if all of it is in force, 78 if not')
    .addHelpText('after', examples('systemctl reload holdfast    # ExecReload=/usr/bin/holdfast reload'))
    .action(() => run('reload', process, async () => (await import('./reload.js')).reload(process)))

  program.command('check')
    .description('check the configuration, log in to each server, and check that Postfix can ask; '
      + 'exit code 0 if all is well, 78 if a configuration is wrong, 75 if a server can\'t be used now')
    .argument('[CONFIG]', 'the configuration file', standardConfig)
    .option('--config-dir <DIR>', 'the folder of Postfix\'s main.cf and master.cf', '/etc/postfix')
    .option('--outage', 'say which mail would pass if MySQL went away, and what would defer the rest')
    .addHelpText('after', `${examples('sudo -u postfix holdfast check /etc/holdfast/holdfast.yaml')}\n
Run by Postfix's user it sees what Postfix may see; run by root it also checks that the service may read its files.`)
    .action((config: string, options: CheckOptions) =>
      run('check', process, async () => (await import('./check.js')).check(config, options, process)))
}

const addAsking = (program: Command, process: NodeJS.Process): void => {
  program.command('query')
    .description('ask the running daemon as Postfix does; exit code 0 found, 1 absent, 75 unavailable')
    .argument('<MAP>', 'the name of the map')
    .argument('<KEY>', 'an address or a domain')
    .option('--at <ADDRESS>', 'where the daemon listens: unix:PATH or inet:HOST:PORT')
    .option('--config <FILE>', 'the configuration file that says where it listens', standardConfig)
    .option('--timeout <SECONDS>', 'how long to wait', '10')
    .addHelpText('after', examples(
      'holdfast query --at unix:/run/holdfast/holdfast.sock virtual_alias info@example.com'))
    .action((map: string, key: string, options: QueryOptions) =>
      run('query', process, async () => (await import('./query.js')).query(map, key, options, process)))

  program.command('compare')
    .description('ask the tables themselves and the running daemon, and print the keys whose answers differ; '
      + 'exit code 0 if none differs, 1 if some do, 75 if some could not be asked')
    .argument('<MAP>', 'the name of the map')
    .option('--keys <FILE>', 'the keys, one a line; - for standard input', '-')
    .option('--config <FILE>', 'the configuration file', standardConfig)
    .addHelpText('after', examples('cut -f1 addresses | holdfast compare virtual_alias'))
    .action((map: string, options: CompareOptions) =>
      run('compare', process, async () => (await import('./compare.js')).compare(map, options, process)))
}

const addMoving = (program: Command, process: NodeJS.Process): void => {
  program.command('adopt')
    .description('find the mysql: tables of a Postfix; write a configuration for them, '
      + 'and print the commands that switch over and back')
    .option('--config-dir <DIR>', 'the folder of main.cf and master.cf', '/etc/postfix')
    .option('--output <FILE>', 'write the configuration there; a file with another text is kept')
    .option('--apply', 'switch Postfix over if the daemon answers; keeps copies of main.cf and master.cf')
    .addHelpText('after', `${examples('holdfast adopt --output /etc/holdfast/holdfast.yaml')}\n
It changes Postfix only with --apply.`)
    .action((options: AdoptOptions) =>
      run('adopt', process, async () => (await import('./adopt.js')).adopt(options, process)))
}

/** A command that asks the running daemon by its admin socket. */
const addAdmin = (program: Command, name: string, description: string, example: string): Command =>
  program.command(name)
    .description(description)
    .option('--at <ADDRESS>', 'the daemon\'s `admin:` socket: unix:PATH')
    .option('--config <FILE>', 'the configuration file that names it', standardConfig)
    .addHelpText('after', examples(example))

const addShowing = (program: Command, process: NodeJS.Process): void => {
  addAdmin(program, 'status', 'show whether mail is safe, since when, and which part is degraded',
    'holdfast status --watch')
    .option('--watch', 'show it again every two seconds')
    .option('--fleet', 'show the nodes that share the Redis, and what does not fit together among them')
    .option('--json', 'show everything, as JSON')
    .action((options: StatusOptions) =>
      run('status', process, async () => (await import('./show_status.js')).status(options, process)))

  addAdmin(program, 'explain', 'follow a mail through every map that Postfix asks: what each answers now, '
    + 'where that comes from, and what it would answer without MySQL', 'holdfast explain info+news@example.com')
    .argument('<ADDRESS>', 'an address, a domain, or a client\'s IP address')
    .option('--map <MAP>', 'this map only')
    .option('--config-dir <DIR>', 'the folder of Postfix\'s main.cf and master.cf', '/etc/postfix')
    .option('--json', 'as JSON')
    .action((address: string, options: ExplainOptions) =>
      run('explain', process, async () => (await import('./explain_lookup.js')).explain(address, options, process)))
}

const addMx = (program: Command, process: NodeJS.Process): void => {
  program.command('mx')
    .description('look up the MX records of the domains that mail is taken for, and compare them with the roles of the '
      + 'nodes; exit code 0 if all are right, 1 if some are wrong, 75 if DNS or a table could not be asked')
    .argument('[DOMAIN...]', 'these domains; by default those that the maps list')
    .option('--config <FILE>', 'the configuration file', standardConfig)
    .option('--resolver <ADDRESS>', 'the DNS server to ask: ADDRESS or ADDRESS:PORT; by default `mx_resolver`, else '
      + 'the system\'s')
    .option('--json', 'as JSON, with every domain')
    .addHelpText('after', examples('holdfast mx', 'holdfast mx --resolver 192.0.2.53 example.com example.net'))
    .action((domains: string[], options: MxOptions) =>
      run('mx', process, async () => (await import('./mx.js')).mx(domains, options, process)))
}

/** Has the daemon do what this path of its admin socket stands for. */
const act = (
  path: string, body: Readonly<Record<string, string | undefined>>, options: DaemonOptions, process: NodeJS.Process,
): Promise<void> =>
  run(path.slice(1), process, async () => (await import('./act.js')).act(path, body, options, process))

const addTelling = (program: Command, process: NodeJS.Process): void => {
  addAdmin(program, 'trust', 'believe a table as it is now, although known keys are gone from it',
    'holdfast trust virtual_alias')
    .argument('<MAP>', 'the name of the map')
    .action((map: string, options: DaemonOptions) =>
      act('/trust', { map }, options, process))

  addAdmin(program, 'flush', 'ask MySQL anew for a key, the keys of a domain, or every key of a map, on all nodes; '
    + 'in an outage the old answers still serve', 'holdfast flush virtual_alias info@example.com')
    .argument('<MAP>', 'the name of the map')
    .argument('[KEY]', 'an address, a domain, or @DOMAIN for all of a domain')
    .action((map: string, key: string | undefined, options: DaemonOptions) =>
      act('/flush', { map, key }, options, process))

  addAdmin(program, 'forget', 'take a node that is out of service off the list of `status --fleet`, on all nodes that '
    + 'share the Redis', 'holdfast forget mx9.example.com')
    .argument('<NODE>', 'its name, as `holdfast status --fleet` has it')
    .action((node: string, options: DaemonOptions) =>
      act('/forget', { node: node.toLowerCase().replace(/\.$/, '') }, options, process))
}

const addRows = (program: Command, process: NodeJS.Process): void => {
  addAdmin(program, 'export', 'print the known entries of a map as a Postfix text table, for texthash: or postmap(1); '
    + 'works even if the daemon is down', 'holdfast export virtual_alias > /etc/postfix/virtual_alias')
    .argument('<MAP>', 'the name of the map')
    .action((map: string, options: DaemonOptions) =>
      run('export', process, async () => (await import('./export.js')).exportMap(map, options, process)))

  addAdmin(program, 'import', 'give the rows of a Postfix text table to the running daemon, for an outage of MySQL; '
    + 'what MySQL said stays as it is', 'holdfast import virtual_alias /etc/postfix/virtual_alias')
    .argument('<MAP>', 'the name of the map')
    .argument('<FILE>', 'the table, as for texthash:')
    .action((map: string, file: string, options: DaemonOptions) =>
      run('import', process, async () => (await import('./import.js')).importMap(map, file, options, process)))

  addAdmin(program, 'warm', 'load the whole table of a map into the caches now, and wait for it; the map needs `warm:`',
    'holdfast warm virtual_alias')
    .argument('<MAP>', 'the name of the map')
    .action((map: string, options: DaemonOptions) =>
      act('/warm', { map }, options, process))
}

/** What `manual`, `completion` and `schema` print: files of the build, by the names that users give. */
const manualPages = { 'holdfast': 'holdfast.8', 'holdfast.yaml': 'holdfast.yaml.5' } as const
const completionScripts = { bash: 'holdfast.bash', zsh: '_holdfast', fish: 'holdfast.fish' } as const

/** Prints the maps' names, one a line; none if the configuration has problems. */
const printMapNames = async (config: string, { stdout, env }: NodeJS.Process): Promise<void> => {
  const { loadConfig } = await import('../config/load.js')
  const loaded = loadConfig(config, env)
  if (loaded.ok) stdout.write(loaded.config.maps.map(({ name }) => `${name}\n`).join(''))
}

const addPages = (program: Command, process: NodeJS.Process): void => {
  /** A file that ships beside the program (deploy/pages makes it). */
  const print = (file: string): void => {
    process.stdout.write(readFileSync(packageFile(`dist/holdfast/${file}`)))
  }

  program.command('schema')
    .description('print the JSON Schema of holdfast.yaml, for editors')
    .addHelpText('after', `${examples('holdfast schema > holdfast.schema.json')}\n
An editor with a YAML language server takes it from a first line such as
# yaml-language-server: $schema=holdfast.schema.json`)
    .action(() => print('holdfast.schema.json'))

  program.command('manual')
    .description('print a page of the manual for man(1)')
    .addArgument(new Argument('[PAGE]', 'which page').choices(Object.keys(manualPages)).default('holdfast'))
    .addHelpText('after', examples('holdfast manual holdfast.yaml | man -l -'))
    .action((page: keyof typeof manualPages) => print(manualPages[page]))

  program.command('completion')
    .description('print the completion script of a shell, or the names of the maps, which the scripts ask for')
    .addArgument(new Argument('<WHAT>').choices([...Object.keys(completionScripts), 'maps']))
    .option('--config <FILE>', 'the configuration file that has the maps', standardConfig)
    .addHelpText('after', examples(
      'source <(holdfast completion bash)', 'source <(holdfast completion zsh)', 'holdfast completion fish | source'))
    .action((what: keyof typeof completionScripts | 'maps', { config }: { config: string }) =>
      what === 'maps' ? printMapNames(config, process) : print(completionScripts[what]))
}
