/**
 * Reads profiles of the shared files `~/.aws/config` and `~/.aws/credentials`
 * (docs.aws.amazon.com/sdkref/latest/guide/file-format.html): static keys, and roles with
 * `source_profile`, `credential_source` or `web_identity_token_file`.
 *
 * @module
 */

import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import { readSmallFile } from '../../../base/small_file.ts'

export interface ProfilePlace {
  readonly profile: string
  readonly configFile: string
  readonly credentialsFile: string
}

/** What a profile means. Roles are assumed from the innermost outwards. */
export type ProfileKind =
  | {
      readonly kind: 'keys'
      readonly accessKeyId: string
      readonly secretAccessKey: string
      readonly sessionToken: string | undefined
    }
  | { readonly kind: 'webIdentity'; readonly role: ProfileRole; readonly tokenFile: string }
  | {
      readonly kind: 'role'
      readonly role: ProfileRole
      readonly from: ProfileKind | 'Environment' | 'Ec2InstanceMetadata' | 'EcsContainer'
    }

interface ProfileRole {
  readonly roleArn: string
  readonly externalId: string | undefined
  readonly sessionName: string | undefined
}

type Section = ReadonlyMap<string, string>
type Sections = ReadonlyMap<string, Section>

const SOURCES = ['Environment', 'Ec2InstanceMetadata', 'EcsContainer'] as const
/** Settings that need a program, a browser or the cache of another program. */
const UNSUPPORTED = ['credential_process', 'sso_session', 'sso_start_url', 'login_session']
const MAX_CHAIN = 5

/** @throws KmsError `denied` that says what is missing, and never what the files hold */
export async function readProfile({
  profile,
  configFile,
  credentialsFile,
}: ProfilePlace): Promise<ProfileKind> {
  const [config, credentials] = [await sectionsOf(configFile), await sectionsOf(credentialsFile)]
  const places = `${configFile} and ${credentialsFile}`
  const find = (name: string) => {
    const own = name === 'default' ? config.get(name) : undefined
    const found = [own, config.get(`profile ${name}`), credentials.get(name)]
    if (found.every((section) => section === undefined)) {
      throw refused(name, `is in neither of ${places}`)
    }
    return new Map(found.flatMap((section) => [...(section ?? [])]))
  }
  return resolve(profile, find, MAX_CHAIN)
}

/** Whether one of the files exists and has the profile. */
export async function hasProfile(place: ProfilePlace): Promise<boolean> {
  const names = [place.profile, `profile ${place.profile}`]
  const files = await Promise.all([place.configFile, place.credentialsFile].map(sectionsOf))
  return files.some((sections) => names.some((name) => sections.has(name)))
}

function resolve(name: string, find: (name: string) => Section, left: number): ProfileKind {
  if (left === 0) throw refused(name, 'is at the end of a chain of source_profile that is too long')
  const section = find(name)
  const roleArn = section.get('role_arn')
  if (roleArn === undefined) return keysOf(name, section)
  const role = {
    roleArn,
    externalId: section.get('external_id'),
    sessionName: section.get('role_session_name'),
  }
  const tokenFile = section.get('web_identity_token_file')
  if (tokenFile !== undefined) return { kind: 'webIdentity', role, tokenFile }
  const source = section.get('source_profile')
  // A profile may name itself as the source, which means the keys that it has beside its role.
  if (source === name) return { kind: 'role', role, from: keysOf(name, section) }
  if (source !== undefined) return { kind: 'role', role, from: resolve(source, find, left - 1) }
  const from = SOURCES.find((known) => known === section.get('credential_source'))
  if (from !== undefined) return { kind: 'role', role, from }
  throw refused(
    name,
    'has role_arn without source_profile, credential_source or web_identity_token_file',
  )
}

function keysOf(name: string, section: Section): ProfileKind {
  const accessKeyId = section.get('aws_access_key_id')
  const secretAccessKey = section.get('aws_secret_access_key')
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    const sessionToken = section.get('aws_session_token')
    return { kind: 'keys', accessKeyId, secretAccessKey, sessionToken }
  }
  const other = UNSUPPORTED.find((key) => section.has(key))
  const why =
    other === undefined
      ? 'has no aws_access_key_id with aws_secret_access_key'
      : `uses ${other}, which Trousseau does not do: it runs no programs and has no browser`
  throw refused(name, why)
}

async function sectionsOf(path: string): Promise<Sections> {
  const text = await readSmallFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return ''
    const message = `Cannot read file "${path}": ${systemReasonOf(cause)}`
    throw new KmsError(message, { code: 'denied', cause })
  })
  const sections = new Map<string, Map<string, string>>()
  let current = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const header = /^\[([^\]]*)\]/.exec(line)?.[1]?.trim().replace(/\s+/g, ' ')
    if (header !== undefined) {
      current = sections.get(header) ?? new Map()
      sections.set(header, current)
    }
    // Indented lines belong to a nested setting that is not needed here.
    const [, key, rest = ''] = /^([^\s#;[=][^=]*)=(.*)$/.exec(line) ?? []
    const value = withoutComment(rest.trimStart())
    if (key !== undefined && value !== '') current.set(key.trim().toLowerCase(), value)
  }
  return sections
}

function withoutComment(value: string): string {
  const comment = value.search(/\s[#;]/)
  return comment === -1 ? value : value.slice(0, comment).trimEnd()
}

function refused(profile: string, why: string): KmsError {
  return new KmsError(`AWS profile "${profile}" ${why}`, { code: 'denied' })
}
