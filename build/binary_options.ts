/** What a binary of Node bakes in. The footprint's empty service is built the same way. @module */

/** Of V8: a code cache made under others is refused at the start. */
export const V8_FLAGS: readonly string[] = ['--disallow-code-generation-from-strings']

/**
 * Node's permission model denies child processes, threads, native code, WASI and the
 * inspector. Which files may be used, system and container say: these flags cannot
 * know the paths of a config.
 */
export const NODE_FLAGS: readonly string[] = [
  '--permission',
  '--allow-fs-read=*',
  '--allow-fs-write=*',
  '--allow-net',
  '--disable-sigusr1',
  // Which --allow-net prints.
  '--disable-warning=ExperimentalWarning',
]
