/**
 * `trousseau top` in a real terminal, tmux's, at two widths: keys, another size, the end. With
 * `PICTURES=FOLDER` it writes what stood on the screen there.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { debianTool } from '../_lib/debian.ts'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import { bundleCommand, runCommand } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('package/top', () => ({}))

const PICTURES = process.env['PICTURES']
const run = promisify(execFile)

/** A terminal with a shell in it. */
async function terminal(socket: string, width: number) {
  const program = await debianTool('tmux')
  const tmux = (...args: string[]) => run(program, ['-S', socket, ...args])
  const size = ['-x', String(width), '-y', '40']
  const env = { ...process.env, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' }
  const start = ['-f', '/dev/null', '-S', socket, 'new-session', '-d', ...size]
  await run(program, [...start, 'sh'], { env })
  return {
    tmux,
    screen: async () => (await tmux('capture-pane', '-p')).stdout,
    async [Symbol.asyncDispose]() {
      await tmux('kill-server')
    },
  }
}

for (const width of [80, 120]) {
  test(`at ${width} columns it fills the screen, follows keys and gives the shell back`, async () => {
    await using folder = await tempFolder()
    const config = { admin: { listen: `unix://${folder.at('admin.sock')}` } }
    await using plugin = await startLocalPlugin(folder, { config })
    await serves(plugin)
    const args = ['top', '--config', plugin.configPath, '--every', '300ms']
    const [command, all] = bundleCommand({ folder: folder.path }, args)
    await using at = await terminal(folder.at('tmux.sock'), width)
    const shows = (what: RegExp) =>
      until(`the screen shows ${what}`, async () => {
        const screen = await at.screen()
        return what.test(screen) && screen
      })

    await at.tmux('send-keys', [command, ...all].join(' '), 'Enter')
    const first = await shows(/^> default {3}ok /m)
    assert.ok(first.split('\n').every((line) => line.length <= width))
    assert.match(first, width === 80 ? 'BY TWO MINUTES' : 'BY THE MINUTE')
    assert.match(first, /q: quit/)
    await at.tmux('send-keys', 'Tab')
    await shows(/^> keys /m)
    await at.tmux('send-keys', 'Up')
    await shows(/^> default /m)
    await at.tmux('send-keys', 'Down')
    const chosen = await shows(/^provider {6}keys \(local\)$/m)
    if (PICTURES !== undefined) await writeFile(join(PICTURES, `top-${width}.txt`), chosen)
    await at.tmux('resize-window', '-x', '60', '-y', '16')
    await until('it fits a smaller terminal', async () => {
      const lines = (await at.screen()).trimEnd().split('\n')
      return lines.length === 15 && /q: quit/.test(lines.at(-1) ?? '')
    })
    await at.tmux('send-keys', 'q')
    await shows(/^(?!.*q: quit).*every 300ms/s)
    await at.tmux('send-keys', 'stty -a', 'Enter')
    await shows(/ icanon .* echo /s)
  })
}

test('in a pipe it prints once', async () => {
  await using folder = await tempFolder()
  const config = { admin: { listen: `unix://${folder.at('admin.sock')}` } }
  await using plugin = await startLocalPlugin(folder, { config })
  await serves(plugin)

  const { code, out, err } = await runCommand(['top', '--config', plugin.configPath])

  assert.equal([code, err], [0, ''])
  assert.is(out.match(/^Trousseau /gm)?.length, 1)
  assert.not.match(out, /(?!\n)\p{Cc}/u)
})

test.run()
