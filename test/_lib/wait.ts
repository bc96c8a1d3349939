/** Waiting for a condition, never for an amount of time. @module */

/**
 * Calls `read` every `everyMs` until it returns something other than `undefined`
 * or `false`, and returns that; throws after `limitMs`, naming `what`.
 */
export async function until<T>(
  what: string,
  read: () => T | undefined | false | Promise<T | undefined | false>,
  { limitMs = 100_000, everyMs = 20 } = {},
): Promise<T> {
  const end = performance.now() + limitMs
  for (;;) {
    const value = await read()
    if (value !== undefined && value !== false) return value
    if (performance.now() > end) throw new Error(`Waited ${limitMs} ms in vain: ${what}`)
    await new Promise((resolve) => {
      setTimeout(resolve, everyMs)
    })
  }
}
