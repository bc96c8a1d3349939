/** Runs the plugin until it is told to stop, and follows its config file. @module */

import { Buffer } from 'node:buffer'
import { resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { stopped } from '../base/call.ts'
import { systemClock } from '../base/clock.ts'
import type { Host } from '../base/host.ts'
import { loadConfig, STANDARD_INPUT } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { createLogger, type Logger } from '../observe/log.ts'
import { standardError } from '../observe/log_file.ts'
import { type Plugin, startPlugin } from './plugin.ts'
import { ConfigFollower } from './reload.ts'
import { VERSION } from './version.ts'

interface ServeOptions {
  /** A config file, or the words of a command line that say what one would. */
  readonly config: { readonly path: string } | { readonly words: readonly string[] }
  /** Takes over the socket of a running plugin once this one is ready to answer. */
  readonly takeOver: boolean
}

/** @throws ConfigError for a config that cannot be used, KmsError when the plugin cannot start */
export async function serve(options: ServeOptions, host: Host): Promise<number> {
  const { config: from } = options
  // Small buffers share larger ones otherwise, each of which stays with the seeds that went through
  // it for as long as anybody has one byte of it.
  Buffer.poolSize = 0
  const config = 'path' in from ? await loadConfig(from.path) : await fromWords(from.words, host)
  const output = standardError()
  const log = createLogger({
    level: config.log.level,
    format: config.log.format ?? (host.atTerminal ? 'text' : 'json'),
    output,
    monotonic: systemClock.monotonic,
  })
  const say = (what: 'started' | 'stopping' | 'stopped', message: string) =>
    log.emit({ type: 'notice', level: 'info', what, message })
  try {
    const plugin = await startPlugin(config, log, {
      environment: host.environment,
      configPath: 'path' in from ? fileOf(from.path) : undefined,
      takeOver: options.takeOver,
      mayHang: host.mayHang,
    })
    say('started', `Trousseau ${VERSION} serves ${plugin.socketPaths.join(', ')}`)
    collectEarlier()
    const unfollow = follow('path' in from ? from.path : undefined, config, plugin, log, host)
    await stopped(host.stop)
    await unfollow()
    say('stopping', 'Trousseau answers what is under way and stops')
    await plugin.close()
    say('stopped', 'Trousseau has stopped')
    return 0
  } finally {
    await output.close()
  }
}

/**
 * Most of what a plugin holds that is beset is garbage (docs/limits.md), which V8 collects once it
 * is several times as much as what is alive. As a flag of the start this would have V8 refuse the
 * code cache of Node's own modules.
 */
function collectEarlier(): void {
  setFlagsFromString('--heap-growing-percent=100')
}

/**
 * Serves where the command line has no command but the arguments that OpenShift gives a plugin;
 * undefined for any other command line.
 */
export async function serveIfPluginCall(
  words: readonly string[],
  host: Host,
): Promise<number | undefined> {
  // Others need nothing of it.
  const { isPluginCall } = await import('../config/plugin_arguments.ts')
  if (!isPluginCall(words, host.environment)) return undefined
  return await serve({ config: { words }, takeOver: false }, host)
}

async function fromWords(words: readonly string[], { environment }: Host): Promise<Config> {
  const { configOfArguments } = await import('../config/plugin_arguments.ts')
  const { emptyDirs } = await import('./empty_dir.ts')
  return configOfArguments(words, { environment, isEmptyDir: await emptyDirs() })
}

/** An operator is in another folder than this process. */
function fileOf(path: string): string | undefined {
  return path === STANDARD_INPUT ? undefined : resolve(path)
}

/** @param path undefined for a config that is no file */
function follow(
  path: string | undefined,
  config: Config,
  plugin: Plugin,
  log: Logger,
  host: Host,
): () => Promise<void> {
  if (path === undefined || path === STANDARD_INPUT) {
    const message =
      path === undefined
        ? 'The config is the command line and cannot change: restart the plugin with another one'
        : 'The config came on standard input and cannot be read again: restart the plugin with another one, or name a file'
    host.onReload(() =>
      log.emit({ type: 'notice', level: 'warn', what: 'config_not_followed', message }),
    )
    return () => Promise.resolve()
  }
  const follower = new ConfigFollower(path, config, plugin, {
    clock: systemClock,
    events: plugin.events,
  })
  follower.start()
  host.onReload(() => follower.reload())
  return () => follower.stop()
}
