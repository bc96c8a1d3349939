/** `trousseau serve`: runs the plugin until it is told to stop. @module */

import type { Command } from 'commander'
import { stopped } from '../base/call.ts'
import { systemClock } from '../base/clock.ts'
import { loadConfig, STANDARD_INPUT } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Io } from '../console/io.ts'
import { createLogger, type Logger, standardError } from '../observe/log.ts'
import { type Plugin, startPlugin } from '../plugin/plugin.ts'
import { ConfigFollower } from '../plugin/reload.ts'
import { VERSION } from '../plugin/version.ts'
import { CONFIG_FILE, type Ending } from './command.ts'

export function addServe(program: Command, io: Io, { done }: Ending): void {
  program
    .command('serve')
    .description('run the plugin until SIGTERM or SIGINT')
    .requiredOption('--config <file>', CONFIG_FILE)
    .option(
      '--take-over',
      'take over the socket of a running plugin as soon as this one can answer; then stop the other',
      false,
    )
    .action(async ({ config, takeOver }: { config: string; takeOver: boolean }) =>
      done(await serve({ configPath: config, takeOver }, io)),
    )
}

interface ServeOptions {
  readonly configPath: string
  /** Takes over the socket of a running plugin once this one is ready to answer. */
  readonly takeOver: boolean
}

/** @throws ConfigError for a config that cannot be used, KmsError when the plugin cannot start */
async function serve(options: ServeOptions, io: Io): Promise<number> {
  const config = await loadConfig(options.configPath)
  const output = standardError()
  const log = createLogger({
    level: config.log.level,
    format: config.log.format ?? (io.atTerminal ? 'text' : 'json'),
    output,
    monotonic: systemClock.monotonic,
  })
  const say = (what: 'started' | 'stopping' | 'stopped', message: string) =>
    log.emit({ type: 'notice', level: 'info', what, message })
  try {
    const plugin = await startPlugin(config, log, {
      environment: io.environment,
      takeOver: options.takeOver,
      mayHang: io.mayHang,
    })
    say('started', `Trousseau ${VERSION} serves ${plugin.socketPaths.join(', ')}`)
    const unfollow = follow(options.configPath, config, plugin, log, io)
    await stopped(io.stop)
    await unfollow()
    say('stopping', 'Trousseau answers what is under way and stops')
    await plugin.close()
    say('stopped', 'Trousseau has stopped')
    return 0
  } finally {
    await output.close()
  }
}

function follow(
  path: string,
  config: Config,
  plugin: Plugin,
  log: Logger,
  io: Io,
): () => Promise<void> {
  if (path === STANDARD_INPUT) {
    io.onReload(() =>
      log.emit({
        type: 'notice',
        level: 'warn',
        what: 'config_not_followed',
        message:
          'The config came on standard input and cannot be read again: restart the plugin with another one, or name a file',
      }),
    )
    return () => Promise.resolve()
  }
  const follower = new ConfigFollower(path, config, plugin, { clock: systemClock, events: log })
  follower.start()
  io.onReload(() => follower.reload())
  return () => follower.stop()
}
