/**
 * Which notices there are. Their names are stable: operators alert on them, so renaming
 * one is a breaking change. docs/reference.md lists them.
 *
 * @module
 */

import type { EventSink } from './events.ts'

export type None = Readonly<Record<never, never>>
export interface OfProvider {
  readonly provider: string
}
export interface OfConfigFile {
  readonly file: string
}

/** By name, the fields that a notice has. */
interface NoticeFields {
  // The process.
  readonly started: None
  readonly stopping: None
  readonly stopped: None
  readonly config_not_followed: None
  readonly config_reloaded: OfConfigFile
  readonly config_refused: OfConfigFile
  readonly config_unchanged: OfConfigFile
  readonly endpoint_failed: None
  readonly provider_not_closed: None
  readonly state_not_saved: None
  readonly audit_failed: None
  readonly audit_lost: None
  readonly audit_resumed: { readonly lost: number }
  readonly audit_unsigned: None
  // Its sockets.
  readonly socket_listening: None
  readonly socket_rebound: None
  readonly socket_vanished: None
  readonly socket_taken: None
  readonly socket_lost: None
  readonly drain_cut: None
  readonly clients_limited: None
  readonly admin_listening: None
  readonly admin_failed: None
  readonly admin_waits: None
  // Keys.
  readonly provider: OfProvider & { readonly type: string; readonly id: string }
  readonly key_recreated: None
  readonly version_from_the_future: None
  readonly key_file_read: OfProvider & { readonly versions: number }
  readonly key_worn: OfProvider & { readonly version: string }
  readonly key_version_unfit: OfProvider
  readonly wraps_forgeable: OfProvider
  readonly alias_moved: OfProvider & { readonly from: string; readonly to: string }
  readonly binding_inside: OfProvider
  readonly opened_unbound: OfProvider
  readonly signing_key: None
  readonly signing_key_gone: None
  readonly signing_key_replaced: None
  readonly signer_state_not_saved: None
  readonly signer_state_refused: None
  // The way to a key service.
  readonly tls_files_changed: OfProvider
  readonly tls_files_refused: OfProvider
  readonly tls_not_verified: OfProvider
  readonly authorities_ended: OfProvider
  readonly authorities_left_out: OfProvider
  readonly vault_node: OfProvider & {
    readonly address: string
    readonly role: string
    readonly previous: string
  }
  readonly batch_limit: OfProvider & { readonly items: number }
  readonly settings_changed: OfProvider
  readonly settings_ignored: OfProvider
  readonly settings_kept: OfProvider
  // Rules.
  readonly opa_answers: None
  readonly waiver_in_force: None
  readonly waiver_refused: None
  readonly waiver_ended: None
  // Traces.
  readonly traces_failed: None
  readonly traces_sent: None
  // Logins.
  readonly clock_skew: OfProvider
  readonly token_life_unknown: None
  readonly token_not_revoked: OfProvider
  readonly token_restricted: OfProvider & { readonly restriction: string }
}

export type NoticeName = keyof NoticeFields

interface NoticeOf<Name extends NoticeName> {
  readonly type: 'notice'
  readonly level: NoticeLevel
  readonly what: Name
  readonly message: string
  readonly fields?: NoticeFields[Name]
  readonly error?: unknown
}

type NoticeLevel = 'debug' | 'info' | 'warn' | 'error'
/** A `what` tells which fields there are. */
export type Notice = { [Name in NoticeName]: NoticeOf<Name> }[NoticeName]

/** Those that have these fields and no others. */
type NameWith<Fields> = {
  [Name in NoticeName]: [Fields, NoticeFields[Name]] extends [NoticeFields[Name], Fields]
    ? Name
    : never
}[NoticeName]

export type Notify<Fields> = (
  level: NoticeLevel,
  what: NameWith<Fields>,
  message: string,
  error?: unknown,
) => void

/** Tells notices that all have the same fields, such as those of one provider. */
export function notifierOf<Fields extends object>(
  events: EventSink,
  fields: Fields,
): Notify<Fields> {
  const none = Object.keys(fields).length === 0
  return (level, what, message, error) => {
    const notice = {
      type: 'notice',
      level,
      what,
      message,
      ...(none ? {} : { fields }),
      ...(error === undefined ? {} : { error }),
    }
    // The compiler cannot see that every name of `NameWith` has these fields.
    events.emit(notice as Notice)
  }
}
