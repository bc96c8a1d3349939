/** Changes of a running plugin's config, in the ways that tools make them. @module */

import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { until } from '../wait.ts'
import { configText, type PluginProcess } from './process.ts'

/**
 * `in place`: the file is written, as an editor may do; `rename`: another file replaces it; `link`:
 * a link on the way to it is changed, as the kubelet does for a ConfigMap.
 */
export type Way = 'in place' | 'rename' | 'link'
type Changed = Pick<PluginProcess, 'configPath' | 'socketPath'>

let changes = 0

export async function changeConfig(
  plugin: Changed,
  config: Readonly<Record<string, unknown>>,
  way: Way = 'rename',
): Promise<void> {
  await changeText(plugin, configText(plugin.socketPath, config), way)
}

export async function changeText(
  { configPath }: Changed,
  text: string,
  way: Way = 'rename',
): Promise<void> {
  changes += 1
  const draft = `${configPath}.${changes}.new`
  if (way === 'in place') await writeFile(configPath, text)
  else if (way === 'rename') {
    await writeFile(draft, text, { mode: 0o600 })
    await rename(draft, configPath)
  } else await swapLink(configPath, draft, text)
}

async function swapLink(configPath: string, draft: string, text: string): Promise<void> {
  const [folder, name] = [dirname(configPath), basename(configPath)]
  const version = join(folder, `..version-${changes}`)
  await mkdir(version)
  await writeFile(join(version, name), text, { mode: 0o600 })
  await symlink(basename(version), join(folder, '..data.new'))
  await rename(join(folder, '..data.new'), join(folder, '..data'))
  // From the first time on the file itself stays as it is.
  await rm(draft, { force: true })
  await symlink(join('..data', name), draft)
  await rename(draft, configPath)
}

/** Runs `change` and waits until the plugin says what came of it. */
export async function outcomeOf(
  plugin: PluginProcess,
  event: 'config_reloaded' | 'config_refused' | 'config_unchanged',
  change: () => void | Promise<void>,
): Promise<string> {
  const before = plugin.events(event).length
  await change()
  const told = await until(`the log says ${event}`, () => plugin.events(event)[before])
  return String(told['message'])
}
