/**
 * The command line that OpenShift's operators give the image of a KMS plugin, which is that of
 * HashiCorp's `vault-kube-kms`, and the variables that say the same (docs/openshift.md). It is made
 * into the config that a file would say, and goes through the same checks; what these find is told
 * with the name of the argument.
 *
 * @module
 */

import { ArgumentValues } from './argument_values.ts'
import { type FlagKind, readFlags } from './go_flags.ts'
import { ConfigError, parseConfig } from './load.ts'
import type { Config } from './schema.ts'

type Variables = Readonly<Record<string, string | undefined>>

interface Argument {
  /** The key of the config that it decides. */
  readonly key: string
  readonly kind?: FlagKind
}

const AUTH = 'providers.0.auth'
const MOUNT = 'providers.0.mount'
/** Says the mount too. */
const KEY_PATH = 'vault-key-path'

const ARGUMENTS: Readonly<Record<string, Argument>> = {
  'listen-address': { key: 'socket' },
  'vault-address': { key: 'providers.0.address' },
  'vault-namespace': { key: 'providers.0.namespace' },
  'vault-auth-namespace': { key: `${AUTH}.namespace` },
  [KEY_PATH]: { key: 'providers.0.key' },
  'transit-mount': { key: MOUNT },
  'transit-key': { key: 'providers.0.key' },
  'vault-connection-timeout': { key: 'requestTimeout' },
  'tls-ca-file': { key: 'providers.0.tls.caFile' },
  'tls-sni': { key: 'providers.0.tls.serverName' },
  'tls-skip-verify': { key: 'providers.0.tls.dangerouslySkipVerification', kind: 'switch' },
  'auth-method': { key: `${AUTH}.method` },
  'auth-mount': { key: `${AUTH}.mount` },
  'approle-role-id': { key: `${AUTH}.roleId` },
  'approle-secret-id-path': { key: `${AUTH}.secretIdFile` },
  'log-level': { key: 'log.level' },
  'zap-log-level': { key: 'log.level' },
  'zap-encoder': { key: 'log.format' },
  'zap-devel': { key: 'log', kind: 'switch' },
  'metrics-port': { key: 'admin.listen' },
  'disable-runtime-metrics': { key: 'admin.runtimeMetrics', kind: 'switch' },
  'health-port': { key: 'probes.listen' },
}
const KINDS = new Map(
  Object.entries(ARGUMENTS).map(([name, { kind = 'text' }]) => [name, kind] as const),
)

const PREFIX = 'VAULT_KUBE_KMS_'
/** Kubernetes makes these for a Service that has the plugin's name. */
const OF_SERVICE = /^VAULT_KUBE_KMS_(?:SERVICE_|PORT(?:_|$))/
const DEFAULT_SOCKET = 'unix:///tmp/vault-kube-kms.socket'
const DEFAULT_METRICS_PORT = '9090'
const DEFAULT_HEALTH_PORT = '8081'
/** Whoever can reach the folder may connect: see {@link PluginFacts}. */
const SHARED_MODE = '0666'
const GROUP_MODE = '0660'
const HINT = 'docs/openshift.md lists the arguments, and what each one does'

const FORMATS: Readonly<Record<string, Config['log']['format']>> = { json: 'json', console: 'text' }

/** What the process knows and a command line does not say. */
interface PluginFacts {
  readonly environment: Variables
  /**
   * Whether a folder is a pod's `emptyDir`: containers of that pod alone can reach it, as users of
   * which the plugin knows nothing.
   */
  readonly isEmptyDir: (folder: string) => boolean
}

/** Whether the command line, or the environment without one, is a plugin's and not a command's. */
export function isPluginCall(words: readonly string[], environment: Variables): boolean {
  const known = (word: string) => Object.hasOwn(ARGUMENTS, /^--?([^-=][^=]*)/.exec(word)?.[1] ?? '')
  if (words.length > 0) return words[0]?.startsWith('-') === true && words.some(known)
  return Object.keys(environment).some((name) => name.startsWith(PREFIX) && !OF_SERVICE.test(name))
}

/** @throws ConfigError with every mistake at once */
export function configOfArguments(words: readonly string[], facts: PluginFacts): Config {
  const flags = readFlags(words, KINDS)
  const variables = readVariables(facts.environment)
  // An operator takes them from files, which may end in a line break.
  const given = new Map(
    [...variables.values, ...flags.values]
      .map(([name, text]) => [name, text.trim()] as const)
      .filter(([, text]) => text !== ''),
  )
  const reader = new ArgumentValues(given)
  const content = contentOf(reader, facts)
  const problems = [...flags.problems, ...variables.problems, ...reader.problems]
  const told = new Set(problems.map((each) => keyIn(each)))
  const all = [
    ...problems,
    ...problemsOf(content, given).filter((each) => !isTold(keyIn(each), told)),
  ]
  if (all.length > 0) throw new ConfigError(all, { hint: HINT })
  return parseConfig(content, 'The command line')
}

function readVariables(environment: Variables): ReturnType<typeof readFlags> {
  const values = new Map<string, string>()
  const problems: string[] = []
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(PREFIX) || text === undefined) continue
    const name = variable.slice(PREFIX.length).toLowerCase().replaceAll('_', '-')
    if (Object.hasOwn(ARGUMENTS, name)) values.set(name, text)
    else if (!OF_SERVICE.test(variable)) {
      problems.push(`Variable ${variable} of the environment: there is no such setting`)
    }
  }
  return { values, problems }
}

function contentOf(reader: ArgumentValues, { isEmptyDir }: PluginFacts): Record<string, unknown> {
  const socket = reader.text('listen-address') ?? DEFAULT_SOCKET
  const folder = socket.replace(/^unix:\/\//, '').replace(/\/[^/]*$/, '')
  const address = reader.required('vault-address', 'https://host:port of the server')
  const devel = reader.switch('zap-devel')
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: socket, mode: isEmptyDir(folder) ? SHARED_MODE : GROUP_MODE },
    providers: [
      {
        name: 'vault',
        type: 'vault',
        address,
        // Whoever writes http:// on the command line has asked for it.
        allowInsecureHttp: address?.startsWith('http://'),
        namespace: reader.text('vault-namespace'),
        ...keyOf(reader),
        tls: {
          caFile: reader.text('tls-ca-file'),
          serverName: reader.text('tls-sni'),
          dangerouslySkipVerification: reader.switch('tls-skip-verify'),
        },
        auth: {
          method: reader.oneOf('auth-method', { approle: 'approle' }) ?? 'approle',
          mount: reader.text('auth-mount'),
          namespace: reader.text('vault-auth-namespace'),
          roleId: reader.required('approle-role-id', 'the role id, which is no secret'),
          secretIdFile: reader.required(
            'approle-secret-id-path',
            'the path of a file with the secret id',
          ),
        },
      },
    ],
    requestTimeout: `${reader.requestMs()}ms`,
    log: {
      level: reader.level() ?? (devel === true ? 'debug' : 'info'),
      format: reader.oneOf('zap-encoder', FORMATS) ?? (devel === true ? 'text' : 'json'),
    },
    ...portsOf(reader),
  }
}

/** The mount and the name of the key, of one path or of two arguments. */
function keyOf(reader: ArgumentValues): { mount?: string | undefined; key?: string | undefined } {
  const path = reader.text(KEY_PATH)
  const mount = reader.text('transit-mount')
  const key = reader.text('transit-key')
  if (path === undefined) {
    if (key === undefined) {
      reader.wrong(KEY_PATH, 'is missing: wanted MOUNT/keys/KEY')
    }
    return { mount, key }
  }
  if (mount !== undefined || key !== undefined) {
    reader.wrong(KEY_PATH, 'wanted no -transit-mount and no -transit-key beside it')
  }
  const [, before, name] = /^(.+)\/keys\/([^/]+)$/.exec(path) ?? []
  if (name === undefined) {
    reader.wrong(KEY_PATH, 'wanted MOUNT/keys/KEY, such as transit/keys/my-key')
  }
  return { mount: before, key: name }
}

/**
 * Where nobody names a port, there are those that the documentation of `vault-kube-kms` names; but
 * whoever closes the one for metrics, as OpenShift does, wants no other one either.
 */
function portsOf(reader: ArgumentValues): Record<string, unknown> {
  const metrics = reader.port('metrics-port', DEFAULT_METRICS_PORT)
  const health = reader.port('health-port', metrics === undefined ? '0' : DEFAULT_HEALTH_PORT)
  const withoutRuntime = reader.switch('disable-runtime-metrics')
  return {
    ...(metrics === undefined
      ? {}
      : { admin: { listen: `127.0.0.1:${metrics}`, runtimeMetrics: withoutRuntime !== true } }),
    ...(health === undefined ? {} : { probes: { listen: `0.0.0.0:${health}` } }),
  }
}

/** What the checks of a config file say of it, with the names of arguments in place of keys. */
function problemsOf(
  content: Record<string, unknown>,
  given: ReadonlyMap<string, string>,
): string[] {
  try {
    parseConfig(content, '')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => named(problem.replace(/^: /, ''), given))
  }
}

/** Of several arguments for one key, the one that was given is meant. */
function named(problem: string, given: ReadonlyMap<string, string>): string {
  const path = /^[\w.]+/.exec(problem)?.[0] ?? ''
  const able = Object.keys(ARGUMENTS).filter((name) => {
    const keys = [ARGUMENTS[name]?.key, name === KEY_PATH ? MOUNT : undefined]
    return keys.some((key) => path === key || path.startsWith(`${key}.`))
  })
  const name = able.find((each) => given.has(each)) ?? able[0]
  return name === undefined ? problem : `-${name}${problem.slice(path.length)}`
}

/** The key of the config that a problem is about. */
function keyIn(problem: string): string {
  const [, name, key] = /^(?:-([a-z-]+)|([\w.]+)):/.exec(problem) ?? []
  return ARGUMENTS[name ?? '']?.key ?? key ?? ''
}

/** Whether something was said of the key, or of a part of it. */
function isTold(key: string, told: ReadonlySet<string>): boolean {
  return [...told].some((each) => each !== '' && (each === key || each.startsWith(`${key}.`)))
}
