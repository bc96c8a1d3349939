/**
 * Where credentials for AWS come from: one source that the config names, or the usual chain
 * (docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html) without its last link,
 * because instance metadata is used only where the config names it. A role may be assumed on top of
 * either.
 *
 * @module
 */

import { join } from 'node:path'
import * as v from 'valibot'
import { KmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import { readSecretFile } from '../../../remote/secret_file.ts'
import type { SigningClock } from '../../../remote/signing_clock.ts'
import type { AwsApi, AwsCredentials } from '../api.ts'
import type { CredentialSource } from './credential_store.ts'
import {
  containerCredentials,
  imdsFields,
  instanceCredentials,
  type MetadataDeps,
} from './metadata.ts'
import { hasProfile, type ProfileKind, type ProfilePlace, readProfile } from './profile.ts'
import {
  type AssumeRole,
  assumeRole,
  assumeRoleConfig,
  assumeRoleWithWebIdentity,
  type Temporary,
  webIdentityFields,
} from './sts.ts'

const onTop = {
  assumeRole: v.optional(
    v.pipe(assumeRoleConfig, v.description('A role that these credentials take on')),
  ),
}
const profileFields = {
  profile: v.optional(
    v.pipe(v.string(), v.nonEmpty(), v.description('AWS_PROFILE or default where absent')),
  ),
  configFile: v.optional(
    v.pipe(absolutePath, v.description('AWS_CONFIG_FILE or ~/.aws/config where absent')),
  ),
  credentialsFile: v.optional(
    v.pipe(
      absolutePath,
      v.description('AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials where absent'),
    ),
  ),
}
const containerFields = {
  uri: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^https?:\/\/[^\s@#]+$/, 'https:// or http:// and a host, without credentials'),
      v.description('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI where absent'),
    ),
  ),
  tokenFile: v.optional(
    v.pipe(
      absolutePath,
      v.description('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or …_TOKEN where absent'),
    ),
  ),
}

export const awsCredentialsConfig = v.variant('source', [
  v.strictObject({ source: v.literal('default'), ...onTop }),
  v.strictObject({ source: v.literal('environment'), ...onTop }),
  v.strictObject({ source: v.literal('profile'), ...profileFields, ...onTop }),
  v.strictObject({ source: v.literal('webIdentity'), ...webIdentityFields, ...onTop }),
  v.strictObject({ source: v.literal('container'), ...containerFields, ...onTop }),
  v.strictObject({ source: v.literal('imds'), ...imdsFields, ...onTop }),
])
export type AwsCredentialsConfig = v.InferOutput<typeof awsCredentialsConfig>
type Of<T extends AwsCredentialsConfig['source']> = Extract<AwsCredentialsConfig, { source: T }>

/** The environment of the process, which main.ts reads. */
export type Environment = Readonly<Record<string, string | undefined>>

interface AwsCredentialsDeps extends MetadataDeps {
  readonly sts: AwsApi
  /** AWS's time, for credentials whose end comes without a `Date`. */
  readonly signing: SigningClock
  readonly environment: Environment
}

export function createCredentialSource(
  config: AwsCredentialsConfig,
  deps: AwsCredentialsDeps,
): CredentialSource {
  const base = new Sources(deps)
  const role = config.assumeRole
  return {
    name: role === undefined ? config.source : `${config.source} and assumeRole`,
    async fetch(call) {
      const credentials = await base.fetch(config, call)
      return role === undefined ? credentials : await base.role(role, credentials, call)
    },
  }
}

class Sources {
  readonly #deps: AwsCredentialsDeps

  constructor(deps: AwsCredentialsDeps) {
    this.#deps = deps
  }

  async fetch(config: AwsCredentialsConfig, call: Call): Promise<AwsCredentials> {
    switch (config.source) {
      case 'default':
        return await this.fetch(await this.#first(), call)
      case 'environment':
        return this.#environment()
      case 'profile':
        return await this.#profile(await readProfile(this.#placeOf(config)), call)
      case 'webIdentity':
        return await this.#webIdentity(config, call)
      case 'container':
        return await this.#container(config)
      case 'imds':
        return this.#lasting(await instanceCredentials(config, this.#deps))
    }
  }

  async role(role: AssumeRole, base: AwsCredentials, call: Call): Promise<AwsCredentials> {
    return this.#lasting(await assumeRole(this.#deps.sts, role, base, call))
  }

  /** The first source of the chain for which anything is configured. */
  async #first(): Promise<Exclude<AwsCredentialsConfig, { source: 'default' | 'imds' }>> {
    const { environment } = this.#deps
    const has = (name: string) => (environment[name] ?? '') !== ''
    if (has('AWS_ACCESS_KEY_ID')) return { source: 'environment' }
    if (has('AWS_WEB_IDENTITY_TOKEN_FILE')) return { source: 'webIdentity' }
    if (has('AWS_PROFILE') || (await hasProfile(this.#placeOf({})))) return { source: 'profile' }
    if (has(RELATIVE_URI) || has(FULL_URI)) return { source: 'container' }
    throw new KmsError(
      'There are no AWS credentials: none in the environment, no web identity, no shared files with the profile, no container credentials; those of the instance are asked for only with credentials: { source: imds }',
      { code: 'denied' },
    )
  }

  #environment(): AwsCredentials {
    const { environment } = this.#deps
    return {
      accessKeyId: this.#variable('AWS_ACCESS_KEY_ID'),
      secretAccessKey: this.#variable('AWS_SECRET_ACCESS_KEY'),
      sessionToken: environment['AWS_SESSION_TOKEN'] || undefined,
      expiresAt: undefined,
    }
  }

  #placeOf({
    profile,
    configFile,
    credentialsFile,
  }: Partial<Omit<Of<'profile'>, 'source'>>): ProfilePlace {
    const { environment } = this.#deps
    const folder = join(environment['HOME'] ?? '/', '.aws')
    return {
      profile: profile ?? (environment['AWS_PROFILE'] || 'default'),
      configFile: configFile ?? (environment['AWS_CONFIG_FILE'] || join(folder, 'config')),
      credentialsFile:
        credentialsFile ??
        (environment['AWS_SHARED_CREDENTIALS_FILE'] || join(folder, 'credentials')),
    }
  }

  async #profile(found: ProfileKind, call: Call): Promise<AwsCredentials> {
    if (found.kind === 'keys') return { ...found, expiresAt: undefined }
    if (found.kind === 'webIdentity') {
      return await this.#webIdentity({ ...found.role, tokenFile: found.tokenFile }, call)
    }
    return await this.role(found.role, await this.#under(found.from, call), call)
  }

  #under(
    from: Extract<ProfileKind, { kind: 'role' }>['from'],
    call: Call,
  ): Promise<AwsCredentials> {
    if (typeof from === 'object') return this.#profile(from, call)
    return this.fetch(v.parse(awsCredentialsConfig, { source: CREDENTIAL_SOURCES[from] }), call)
  }

  async #webIdentity(
    { roleArn, sessionName, tokenFile }: Omit<Of<'webIdentity'>, 'source'>,
    call: Call,
  ): Promise<AwsCredentials> {
    const path = tokenFile ?? this.#variable('AWS_WEB_IDENTITY_TOKEN_FILE')
    const role = {
      roleArn: roleArn ?? this.#variable('AWS_ROLE_ARN'),
      sessionName: sessionName ?? (this.#deps.environment['AWS_ROLE_SESSION_NAME'] || undefined),
      token: await readSecretFile(path, 'the web identity token'),
    }
    return this.#lasting(await assumeRoleWithWebIdentity(this.#deps.sts, role, call))
  }

  async #container({ uri, tokenFile }: Omit<Of<'container'>, 'source'>): Promise<AwsCredentials> {
    const { environment } = this.#deps
    const place = {
      uri: uri ?? (environment[RELATIVE_URI] || this.#variable(FULL_URI)),
      tokenFile: tokenFile ?? (environment['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] || undefined),
      token: environment['AWS_CONTAINER_AUTHORIZATION_TOKEN'] || undefined,
    }
    return this.#lasting(await containerCredentials(place, this.#deps))
  }

  #variable(name: string): string {
    const value = this.#deps.environment[name] ?? ''
    if (value !== '') return value
    throw new KmsError(`Variable ${name} is not set in the environment`, { code: 'denied' })
  }

  /**
   * The end is counted by the clock of the service that gave them, which may differ from this
   * node's.
   */
  #lasting({ expiration, serviceTime, ...credentials }: Temporary): AwsCredentials {
    const { clock, signing } = this.#deps
    const lifeMs = Date.parse(expiration) - (serviceTime ?? signing.now())
    return { ...credentials, expiresAt: clock.monotonic() + lifeMs }
  }
}

const RELATIVE_URI = 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'
const FULL_URI = 'AWS_CONTAINER_CREDENTIALS_FULL_URI'
const CREDENTIAL_SOURCES = {
  Environment: 'environment',
  Ec2InstanceMetadata: 'imds',
  EcsContainer: 'container',
} as const
