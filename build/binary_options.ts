/**
 * The flags that are built into a binary of Node. The empty service of the footprint is built in
 * the same way.
 *
 * @module
 */

/** Flags of V8. A code cache that was made under other flags is refused at the start. */
export const V8_FLAGS: readonly string[] = ['--disallow-code-generation-from-strings']

/**
 * Node's permission model denies child processes, threads, native code, WASI and the inspector.
 * Which files may be used is up to the system or the container, since these flags cannot know the
 * paths of a config.
 */
export const NODE_FLAGS: readonly string[] = [
  '--permission',
  '--allow-fs-read=*',
  '--allow-fs-write=*',
  '--allow-net',
  '--disable-sigusr1',
  // The warning that --allow-net prints.
  '--disable-warning=ExperimentalWarning',
]
