/**
 * The flags that are built into a binary of Node. The empty service of the footprint is built in
 * the same way.
 *
 * @module
 */

/**
 * Flags of V8. Most of them would have it refuse the code cache of Node's own modules; those of the
 * size of the heap do not. Under an attack most of the memory is what the young generation has not
 * collected yet (docs/limits.md).
 */
export const V8_FLAGS: readonly string[] = ['--max-semi-space-size=8']

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
