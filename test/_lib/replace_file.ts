import { rename, writeFile } from 'node:fs/promises'

/** Written under another name first, as everything that replaces files does. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}
