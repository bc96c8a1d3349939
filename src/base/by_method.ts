/** One thing to do for each method that a config may name. @module */

interface Method {
  readonly method: string
}

/** The compiler sees that none is missing. */
export type ByMethod<Config extends Method, Deps, Result> = {
  readonly [M in Config['method']]: (
    config: Extract<Config, { readonly method: M }>,
    deps: Deps,
  ) => Result
}

/** What the table has for the method of this config. */
export function byMethod<Config extends Method, Deps, Result>(
  table: ByMethod<Config, Deps, Result>,
  config: Config,
  deps: Deps,
): Result {
  // The type of the table ties each entry to its config, which the compiler cannot follow here.
  const run = table[config.method as Config['method']] as (config: Config, deps: Deps) => Result
  return run(config, deps)
}
